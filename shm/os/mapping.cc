#include "shm/os/mapping.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "shm/os/crash_point.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22  // Linux 5.14; older headers lack it
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

namespace pylabhub::shm {
namespace {

absl::Status OutOfMemory(int fd, size_t bytes) {
  struct statvfs stats = {};
  const uint64_t free_bytes = fstatvfs(fd, &stats) == 0 ? uint64_t{stats.f_bavail} * stats.f_frsize : 0;
  return absl::ResourceExhaustedError(absl::StrCat(
      "not enough shared memory: ", bytes, " bytes are needed and ", free_bytes,
      " are free; use fewer or smaller slots, remove what is left of dead channels, or enlarge the tmpfs"));
}

}  // namespace

Mapping::Mapping(UniqueFd fd, std::span<std::byte> bytes)
    : fd_(std::move(fd)), bytes_(bytes), generation_(ForkGeneration()) {}

Mapping::Mapping(Mapping&& other) noexcept
    : fd_(std::move(other.fd_)), bytes_(std::exchange(other.bytes_, {})), generation_(other.generation_) {}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  if (this == &other) return *this;
  Unmap();
  fd_ = std::move(other.fd_);
  bytes_ = std::exchange(other.bytes_, {});
  generation_ = other.generation_;
  return *this;
}

Mapping::~Mapping() { Unmap(); }

void Mapping::Unmap() {
  // A child never had the mapping: something else may lie there by now.
  if (valid() && generation_ == ForkGeneration()) munmap(bytes_.data(), bytes_.size());
  bytes_ = {};
}

absl::StatusOr<Mapping> Mapping::Map(UniqueFd fd, size_t bytes, Access access) {
  const int protection = access == Access::kReadOnly ? PROT_READ : PROT_READ | PROT_WRITE;
  void* base = mmap(nullptr, bytes, protection, MAP_SHARED, fd.get(), 0);
  if (base == MAP_FAILED) return absl::ErrnoToStatus(errno, absl::StrCat("cannot map ", bytes, " bytes"));
  madvise(base, bytes, MADV_DONTFORK);
  madvise(base, bytes, MADV_DONTDUMP);
  return Mapping(std::move(fd), {static_cast<std::byte*>(base), bytes});
}

absl::StatusOr<Mapping> Mapping::Of(UniqueFd fd, Access access) {
  struct stat stats = {};
  if (fstat(fd.get(), &stats) != 0)
    return absl::ErrnoToStatus(errno, "cannot read the size of a channel file");
  if (stats.st_size <= 0) return absl::FailedPreconditionError("the file is empty");
  return Map(std::move(fd), static_cast<size_t>(stats.st_size), access);
}

absl::StatusOr<Mapping> Mapping::Reserve(UniqueFd fd, size_t bytes) {
  int error = 0;
  do {
    error = fallocate(fd.get(), 0, 0, static_cast<off_t>(bytes)) == 0 ? 0 : errno;
  } while (error == EINTR);
  if (error == ENOSPC || error == EDQUOT || error == EFBIG || error == ENOMEM)
    return OutOfMemory(fd.get(), bytes);
  if (error != 0)
    return absl::ErrnoToStatus(error, absl::StrCat("cannot reserve ", bytes, " bytes (fallocate)"));
  PYLABHUB_CRASH_POINT("mapping.reserve.allocated");
  absl::StatusOr<Mapping> mapping = Map(std::move(fd), bytes, Access::kReadWrite);
  PYLABHUB_CRASH_POINT("mapping.reserve.mapped");
  // Older kernels do not know it: then the first write to each page pays for it.
  if (mapping.ok()) madvise(mapping->base(), bytes, MADV_POPULATE_WRITE);
  return mapping;
}

absl::Status Mapping::MakeReadOnly() {
  if (mprotect(bytes_.data(), bytes_.size(), PROT_READ) == 0) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, "cannot protect a mapping");
}

void Mapping::Populate() const { madvise(bytes_.data(), bytes_.size(), MADV_POPULATE_READ); }

}  // namespace pylabhub::shm
