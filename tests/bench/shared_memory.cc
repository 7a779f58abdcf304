#include "tests/bench/shared_memory.h"

#include <sys/mman.h>

#include <cerrno>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace pylabhub::bench {

absl::StatusOr<SharedMemory> SharedMemory::Create(uint64_t bytes) {
  void* base = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (base == MAP_FAILED) {
    return absl::ErrnoToStatus(errno, absl::StrCat("no shared memory of ", bytes, " bytes"));
  }
  return SharedMemory(static_cast<char*>(base), bytes);
}

SharedMemory::~SharedMemory() {
  if (base_ != nullptr) munmap(base_, bytes_);
}

}  // namespace pylabhub::bench
