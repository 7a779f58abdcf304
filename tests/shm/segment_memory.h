// A file of a channel as bytes of this process: a block whose end a sanitizer guards to the byte, and a copy
// that a test may spoil.
#ifndef PYLABHUB_TESTS_SHM_SEGMENT_MEMORY_H_
#define PYLABHUB_TESTS_SHM_SEGMENT_MEMORY_H_

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>

#include "shm/segment/layout.h"

namespace pylabhub::shm {

class SegmentMemory {
 public:
  explicit SegmentMemory(size_t bytes) : memory_(Allocate(bytes), &std::free), bytes_(bytes) {
    std::memset(memory_.get(), 0, bytes);
  }
  // The first `bytes` of `whole`: a truncated file.
  SegmentMemory(std::span<const std::byte> whole, size_t bytes) : SegmentMemory(bytes) {
    std::memcpy(memory_.get(), whole.data(), bytes);
  }
  explicit SegmentMemory(std::span<const std::byte> whole) : SegmentMemory(whole, whole.size()) {}

  std::span<std::byte> bytes() const { return {static_cast<std::byte*>(memory_.get()), bytes_}; }

  template <typename Value>
  void Write(size_t offset_bytes, const Value& value) const {
    std::memcpy(bytes().data() + offset_bytes, &value, sizeof(value));
  }
  template <typename Value>
  Value Read(size_t offset_bytes) const {
    Value value;
    std::memcpy(&value, bytes().data() + offset_bytes, sizeof(value));
    return value;
  }
  // Where the header is, as the superblock says.
  size_t header_offset_bytes() const { return Read<uint64_t>(offsetof(Superblock, header_offset_bytes)); }

 private:
  static void* Allocate(size_t bytes) {
    void* memory = nullptr;
    if (posix_memalign(&memory, kPageBytes, bytes) != 0) std::abort();
    return memory;
  }

  std::unique_ptr<void, decltype(&std::free)> memory_;
  size_t bytes_;
};

// Reads every byte of `part`, so that a sanitizer sees where it is; the result keeps that from being left
// out.
inline uint64_t Touch(std::span<const std::byte> part) {
  uint64_t sum = 0;
  for (const std::byte byte : part) sum += static_cast<uint64_t>(byte);
  return sum;
}

}  // namespace pylabhub::shm

#endif  // PYLABHUB_TESTS_SHM_SEGMENT_MEMORY_H_
