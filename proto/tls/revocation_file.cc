#include "proto/tls/revocation_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "proto/tls/private_file.h"

namespace pylabhub::tls {
namespace {

// Held on a folder for as long as this lives.
class FolderLock {
 public:
  explicit FolderLock(const std::string& folder)
      : descriptor_(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)),
        error_(descriptor_ < 0 || flock(descriptor_, LOCK_EX) != 0 ? errno : 0) {}
  ~FolderLock() {
    if (descriptor_ >= 0) close(descriptor_);
  }
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

  // Zero, or the errno of what failed.
  int error() const { return error_; }

 private:
  const int descriptor_;
  const int error_;
};

}  // namespace

absl::StatusOr<bool> ChangeRevocations(const std::string& path,
                                       absl::FunctionRef<absl::StatusOr<bool>(RevocationList&)> change) {
  const std::string parent = std::filesystem::path(path).parent_path();
  const std::string folder = parent.empty() ? "." : parent;
  const FolderLock lock(folder);
  if (lock.error() != 0) return FileError("use the folder", folder, lock.error());
  absl::StatusOr<std::string> text = ReadPublicFile(path);
  if (absl::IsNotFound(text.status())) text = std::string();
  if (!text.ok()) return text.status();
  absl::StatusOr<RevocationList> list = RevocationList::Parse(*text, path);
  if (!list.ok()) return list.status();
  absl::StatusOr<bool> changed = change(*list);
  if (!changed.ok() || !*changed) return changed;
  if (absl::Status status = WritePublicFile(path, list->ToText()); !status.ok()) return status;
  return true;
}

}  // namespace pylabhub::tls
