#include "shm/os/mapping.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "shm/os/crash_point.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22  // Linux 5.14; older headers lack it
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25  // Linux 6.1
#endif

namespace pylabhub::shm {
namespace {

constexpr size_t kSmallPageBytes = 4096;

// Memory that the machine could still give out.
uint64_t AvailableBytes() {
  std::ifstream meminfo("/proc/meminfo");
  uint64_t available_bytes = 0;
  for (std::string name, unit; meminfo >> name;) {
    uint64_t kib = 0;
    if (!(meminfo >> kib)) break;
    std::getline(meminfo, unit);
    if (name == "MemAvailable:" || name == "SwapFree:") available_bytes += kib << 10;
  }
  return available_bytes != 0 ? available_bytes : UINT64_MAX;
}

// What `fd` could still grow by: its file system may have a limit (a memfd's has none), and so has the machine.
uint64_t FreeBytes(int fd) {
  struct statvfs stats = {};
  const bool limited = fstatvfs(fd, &stats) == 0 && stats.f_blocks != 0;
  const uint64_t limit_bytes = limited ? uint64_t{stats.f_bavail} * stats.f_frsize : UINT64_MAX;
  return std::min(limit_bytes, AvailableBytes());
}

absl::Status OutOfMemory(int fd, size_t bytes) {
  const uint64_t free_bytes = FreeBytes(fd);
  return absl::ResourceExhaustedError(absl::StrCat(
      "not enough shared memory: ", bytes, " bytes are needed and ", free_bytes,
      " are free; use fewer or smaller slots, remove what is left of dead channels, or enlarge the tmpfs"));
}

// Gives the file its pages in that range. 0, or the error.
int Allocate(int fd, size_t offset_bytes, size_t bytes) {
  int error = 0;
  do {
    error = fallocate(fd, 0, static_cast<off_t>(offset_bytes), static_cast<off_t>(bytes)) == 0 ? 0 : errno;
  } while (error == EINTR);
  return error;
}

absl::Status AllocationFailed(int error, int fd, size_t bytes) {
  if (error == ENOSPC || error == EDQUOT || error == ENOMEM) return OutOfMemory(fd, bytes);
  if (error == EFBIG) {
    return absl::ResourceExhaustedError(
        absl::StrCat("this process may not make a file of ", bytes, " bytes; raise its limit (ulimit -f)"));
  }
  return absl::ErrnoToStatus(error, absl::StrCat("cannot reserve ", bytes, " bytes (fallocate)"));
}

void* MapAnywhere(int fd, size_t bytes, int protection) {
  return mmap(nullptr, bytes, protection, MAP_SHARED, fd, 0);
}

// As MapAnywhere, at a multiple of kHugePageBytes.
void* MapAligned(int fd, size_t bytes, int protection) {
  const size_t mapped_bytes = (bytes + kSmallPageBytes - 1) / kSmallPageBytes * kSmallPageBytes;
  const size_t room_bytes = mapped_bytes + kHugePageBytes;
  void* room = mmap(nullptr, room_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (room == MAP_FAILED) return MapAnywhere(fd, bytes, protection);
  auto* begin = static_cast<std::byte*>(room);
  const size_t before_bytes = kHugePageBytes - reinterpret_cast<uintptr_t>(begin) % kHugePageBytes;
  std::byte* aligned = begin + before_bytes;
  void* mapped = mmap(aligned, bytes, protection, MAP_SHARED | MAP_FIXED, fd, 0);
  if (mapped == MAP_FAILED) {
    const int error = errno;
    munmap(begin, room_bytes);
    errno = error;
    return mapped;
  }
  munmap(begin, before_bytes);
  if (before_bytes != kHugePageBytes) munmap(aligned + mapped_bytes, kHugePageBytes - before_bytes);
  return mapped;
}

// Asks for huge pages where there are no pages yet: to make a huge page of small ones that are there copies them all. One
// small page of each must be there, or the kernel finds nothing to do. It says no for many reasons; none of them matters.
void TakeHugePages(std::byte* base, size_t bytes) {
  const size_t huge_bytes = bytes / kHugePageBytes * kHugePageBytes;
  for (size_t offset = 0; offset < huge_bytes; offset += kHugePageBytes) {
    if (madvise(base + offset, kSmallPageBytes, MADV_POPULATE_WRITE) != 0) return;
  }
  madvise(base, huge_bytes, MADV_COLLAPSE);
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
  void* base = bytes < kHugePageBytes ? MapAnywhere(fd.get(), bytes, protection)
                                      : MapAligned(fd.get(), bytes, protection);
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
  const bool large = bytes >= kHugePageBytes;
  // Not left to the kernel: what it takes until it finds that there is not enough, it takes from everybody else.
  if (large && bytes > FreeBytes(fd.get())) return OutOfMemory(fd.get(), bytes);
  // A large one is only sized at first, by its last byte, so that huge pages come into empty memory.
  const size_t first_bytes = large ? 1 : bytes;
  if (const int error = Allocate(fd.get(), bytes - first_bytes, first_bytes); error != 0)
    return AllocationFailed(error, fd.get(), bytes);
  PYLABHUB_CRASH_POINT("mapping.reserve.allocated");
  absl::StatusOr<Mapping> mapping = Map(std::move(fd), bytes, Access::kReadWrite);
  if (!mapping.ok()) return mapping;
  PYLABHUB_CRASH_POINT("mapping.reserve.mapped");
  if (large) {
    TakeHugePages(mapping->base(), bytes);
    if (const int error = Allocate(mapping->fd(), 0, bytes); error != 0)
      return AllocationFailed(error, mapping->fd(), bytes);
  }
  // Older kernels do not know it: then the first write to each page pays for it.
  madvise(mapping->base(), bytes, MADV_POPULATE_WRITE);
  return mapping;
}

absl::Status Mapping::MakeReadOnly() {
  if (mprotect(bytes_.data(), bytes_.size(), PROT_READ) == 0) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, "cannot protect a mapping");
}

void Mapping::Populate() const { madvise(bytes_.data(), bytes_.size(), MADV_POPULATE_READ); }

}  // namespace pylabhub::shm
