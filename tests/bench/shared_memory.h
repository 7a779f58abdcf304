// Memory that a process shares with the children it forks, and with nobody else: it has no name, so it goes
// when the last of them goes.
#pragma once

#include <cstdint>
#include <utility>

#include "absl/status/statusor.h"

namespace pylabhub::bench {

// Ownership: unmaps in the destructor. Children forked before that keep their own mapping.
class SharedMemory {
 public:
  // Zeroed, page-aligned, every page present already, so that no first touch is measured.
  //
  // Errors: kResourceExhausted when the kernel has no room for it.
  static absl::StatusOr<SharedMemory> Create(uint64_t bytes);

  SharedMemory(SharedMemory&& other) noexcept
      : base_(std::exchange(other.base_, nullptr)), bytes_(other.bytes_) {}
  SharedMemory& operator=(SharedMemory&&) = delete;
  ~SharedMemory();

  char* base() const { return base_; }

 private:
  SharedMemory(char* base, uint64_t bytes) : base_(base), bytes_(bytes) {}

  char* base_;
  uint64_t bytes_;
};

}  // namespace pylabhub::bench
