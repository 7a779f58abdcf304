#include "proto/tls/private_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace pylabhub::tls {
namespace {

constexpr off_t kMaxFileBytes = 1 << 20;

class FileDescriptor {
 public:
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  ~FileDescriptor() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }

 private:
  const int fd_;
};

enum class Secrecy { kPublic, kPrivate };

absl::Status CheckSecret(const std::string& path, const struct stat& found) {
  const bool ours = found.st_uid == geteuid();
  if (!ours && found.st_uid != 0) {
    return absl::FailedPreconditionError(
        absl::StrFormat("%s holds a private key but belongs to user %u; it must belong to this user (%u) or "
                        "root: chown %u %s",
                        path, found.st_uid, geteuid(), geteuid(), path));
  }
  const mode_t forbidden = ours ? (S_IRWXG | S_IRWXO) : (S_IWGRP | S_IXGRP | S_IRWXO);
  if ((found.st_mode & forbidden) == 0) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrFormat("%s holds a private key but others can get at it (mode %04o): chmod 600 %s", path,
                      found.st_mode & 07777, path));
}

absl::StatusOr<std::string> ReadAll(const std::string& path, int fd) {
  std::string contents;
  char buffer[4096];
  while (true) {
    const ssize_t got = read(fd, buffer, sizeof(buffer));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return FileError("read", path, errno);
    if (got == 0) return contents;
    contents.append(buffer, got);
    if (contents.size() > static_cast<size_t>(kMaxFileBytes)) {
      return absl::InvalidArgumentError(absl::StrCat(path, " is larger than ", kMaxFileBytes, " bytes"));
    }
  }
}

absl::StatusOr<std::string> ReadFile(const std::string& path, Secrecy secrecy) {
  // Non-blocking, so that a FIFO given by mistake is refused below rather than waited for.
  const FileDescriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0) return FileError("read", path, errno);
  struct stat found;
  if (fstat(file.get(), &found) != 0) return FileError("read", path, errno);
  if (!S_ISREG(found.st_mode)) return absl::InvalidArgumentError(absl::StrCat(path, " is not a file"));
  if (secrecy == Secrecy::kPrivate) {
    if (absl::Status status = CheckSecret(path, found); !status.ok()) return status;
  }
  return ReadAll(path, file.get());
}

// Zero, or the errno of what failed.
int WriteAndFlush(int fd, absl::string_view contents) {
  while (!contents.empty()) {
    const ssize_t put = write(fd, contents.data(), contents.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return errno;
    contents.remove_prefix(put);
  }
  return fsync(fd) == 0 ? 0 : errno;
}

// Whole or not at all: a new file, flushed to disk, then renamed over the old one.
absl::Status WriteFile(const std::string& path, absl::string_view contents, mode_t mode) {
  std::string draft = absl::StrCat(path, ".XXXXXX");
  // mkostemp makes the file with mode 0600, whatever the umask says.
  const FileDescriptor file(mkostemp(draft.data(), O_CLOEXEC));
  if (file.get() < 0) return FileError("write", path, errno);
  int error = WriteAndFlush(file.get(), contents);
  if (error == 0 && fchmod(file.get(), mode) != 0) error = errno;
  if (error == 0 && std::rename(draft.c_str(), path.c_str()) != 0) error = errno;
  if (error == 0) return absl::OkStatus();
  unlink(draft.c_str());
  return FileError("write", path, error);
}

}  // namespace

absl::Status FileError(absl::string_view what, absl::string_view path, int error) {
  const std::string text = absl::StrCat("cannot ", what, " ", path, ": ", std::strerror(error));
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      return absl::NotFoundError(text);
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::PermissionDeniedError(text);
    case ENOSPC:
    case EDQUOT:
      return absl::ResourceExhaustedError(text);
    case EISDIR:
      return absl::InvalidArgumentError(text);
    default:
      return absl::UnavailableError(text);
  }
}

absl::Status MakePrivateFolder(const std::string& folder) {
  if (mkdir(folder.c_str(), 0700) == 0) return absl::OkStatus();
  if (errno != EEXIST) return FileError("make the folder", folder, errno);
  struct stat found;
  if (stat(folder.c_str(), &found) != 0) return FileError("use the folder", folder, errno);
  if (!S_ISDIR(found.st_mode)) return absl::InvalidArgumentError(absl::StrCat(folder, " is not a folder"));
  if (found.st_uid != geteuid()) {
    return absl::FailedPreconditionError(
        absl::StrFormat("%s belongs to user %u, not to this user (%u): choose another folder", folder,
                        found.st_uid, geteuid()));
  }
  return absl::OkStatus();
}

absl::Status WritePrivateFile(const std::string& path, absl::string_view contents) {
  return WriteFile(path, contents, S_IRUSR | S_IWUSR);
}

absl::Status WritePublicFile(const std::string& path, absl::string_view contents) {
  return WriteFile(path, contents, S_IRUSR | S_IWUSR | S_IRGRP | S_IROTH);
}
absl::StatusOr<std::string> ReadPublicFile(const std::string& path) {
  return ReadFile(path, Secrecy::kPublic);
}

absl::StatusOr<std::string> ReadPrivateFile(const std::string& path) {
  return ReadFile(path, Secrecy::kPrivate);
}

}  // namespace pylabhub::tls
