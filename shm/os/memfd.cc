#include "shm/os/memfd.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U  // Linux 6.3
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010  // Linux 5.1
#endif

namespace pylabhub::shm {
namespace {

constexpr uint64_t kStatBlockBytes = 512;

constexpr int kSizeSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

constexpr int SealsFor(Writers writers) {
  return writers == Writers::kCreatorAlone ? kSizeSeals | F_SEAL_FUTURE_WRITE : kSizeSeals;
}

// Whoever got the descriptor may open it anew, whatever its user; for writing only where everybody writes. So nobody else
// can hold a lock on data that says that its producer lives.
constexpr mode_t ModeFor(Writers writers) { return writers == Writers::kCreatorAlone ? 0444 : 0666; }

absl::Status Refused(absl::string_view why) {
  return absl::FailedPreconditionError(
      absl::StrCat("the descriptor is not a segment's: ", why,
                   "; pass on the descriptors of a sealed channel as they are"));
}

absl::Status CheckSeals(int descriptor, Writers writers) {
  const int seals = fcntl(descriptor, F_GET_SEALS);
  if (seals < 0) return Refused("it is not a memfd");
  const int missing = SealsFor(writers) & ~seals;
  if (missing == 0) return absl::OkStatus();
  std::vector<absl::string_view> names;
  if ((missing & F_SEAL_SHRINK) != 0) names.emplace_back("F_SEAL_SHRINK");
  if ((missing & F_SEAL_GROW) != 0) names.emplace_back("F_SEAL_GROW");
  if ((missing & F_SEAL_FUTURE_WRITE) != 0) names.emplace_back("F_SEAL_FUTURE_WRITE");
  if ((missing & F_SEAL_SEAL) != 0) names.emplace_back("F_SEAL_SEAL");
  return Refused(absl::StrCat("it lacks the seals ", absl::StrJoin(names, ", ")));
}

absl::Status CheckSealed(int descriptor, Writers writers) {
  struct stat stats = {};
  if (fstat(descriptor, &stats) != 0) return absl::ErrnoToStatus(errno, "cannot look at a descriptor");
  if (!S_ISREG(stats.st_mode)) return Refused("it is not a memfd");
  if (absl::Status status = CheckSeals(descriptor, writers); !status.ok()) return status;
  if (stats.st_size <= 0) return Refused("it is empty");
  // Its size cannot change any more. Pages that are missing would be taken from this process's memory when it reads them.
  if (static_cast<uint64_t>(stats.st_blocks) * kStatBlockBytes < static_cast<uint64_t>(stats.st_size)) {
    return Refused(absl::StrCat("only ", stats.st_blocks * kStatBlockBytes, " of its ", stats.st_size,
                                " bytes have memory"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<UniqueFd> CreateMemfd(const std::string& name) {
  constexpr unsigned kFlags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  const auto create = [&](unsigned flags) {
    return UniqueFd::Make([&] { return memfd_create(name.c_str(), flags); });
  };
  UniqueFd fd = create(kFlags | MFD_NOEXEC_SEAL);
  // An older kernel does not know that flag.
  if (!fd.valid() && errno == EINVAL) fd = create(kFlags);
  if (!fd.valid()) return absl::ErrnoToStatus(errno, "cannot create memory to hand over (memfd_create)");
  return fd;
}

absl::Status Seal(int memfd, Writers writers) {
  if (fchmod(memfd, ModeFor(writers)) != 0) return absl::ErrnoToStatus(errno, "cannot set a memfd's mode");
  if (fcntl(memfd, F_ADD_SEALS, SealsFor(writers)) == 0) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, "cannot seal a memfd (F_ADD_SEALS)");
}

absl::StatusOr<UniqueFd> ReopenSealed(int descriptor, Writers writers, Access access) {
  if (absl::Status status = CheckSealed(descriptor, writers); !status.ok()) return status;
  const std::string path = absl::StrCat("/proc/self/fd/", descriptor);
  UniqueFd fd = UniqueFd::Open(path, (access == Access::kReadOnly ? O_RDONLY : O_RDWR) | O_CLOEXEC);
  if (!fd.valid())
    return absl::ErrnoToStatus(errno, absl::StrCat("cannot open ", path, " (is /proc there?)"));
  return fd;
}

}  // namespace pylabhub::shm
