// A Boost.Interprocess managed segment in memory that is already mapped, behind a superblock. Used at
// creation only.
#ifndef PYLABHUB_SHM_SEGMENT_MANAGED_MEMORY_H_
#define PYLABHUB_SHM_SEGMENT_MANAGED_MEMORY_H_

#include <boost/interprocess/managed_external_buffer.hpp>
#include <boost/interprocess/mem_algo/rbtree_best_fit.hpp>
#include <boost/interprocess/sync/mutex_family.hpp>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <span>

#include "shm/segment/layout.h"

namespace pylabhub::shm {

// Named parts carved out of one piece of memory, each aligned as shared words want it.
class ManagedMemory {
 public:
  // `memory` is a whole file; its first page is left to the superblock.
  explicit ManagedMemory(std::span<std::byte> memory)
      : memory_(memory),
        segment_(boost::interprocess::create_only, memory.data() + kPageBytes, memory.size() - kPageBytes) {}

  // `bytes` zeroed bytes at a multiple of `alignment_bytes` from the start of the file, with its offset
  // there. The caller sized the memory so that they fit.
  uint64_t Allocate(size_t bytes, size_t alignment_bytes) {
    const uint64_t offset_bytes = AllocateUnset(bytes, alignment_bytes);
    // The memory was zero, but the allocator has kept its own words in what it gives out now.
    std::memset(memory_.data() + offset_bytes, 0, bytes);
    return offset_bytes;
  }

  // The same, with anything in them: for what is written before it is read.
  uint64_t AllocateUnset(size_t bytes, size_t alignment_bytes) {
    auto* part = static_cast<std::byte*>(segment_.allocate_aligned(bytes, alignment_bytes));
    return static_cast<uint64_t>(part - memory_.data());
  }

  // Lets other programs find the part at `offset_bytes` as `name`.
  void Name(const char* name, uint64_t offset_bytes) { *segment_.construct<uint64_t>(name)() = offset_bytes; }

  // What a segment needs besides its parts: Boost's own structures, and up to one alignment for each part.
  static constexpr size_t kOverheadBytes = 4 * kPageBytes;

 private:
  // No lock in shared memory: only the creator ever allocates, and only before anybody else can see the
  // segment.
  using Segment = boost::interprocess::basic_managed_external_buffer<
      char, boost::interprocess::rbtree_best_fit<boost::interprocess::null_mutex_family>,
      boost::interprocess::iset_index>;

  std::span<std::byte> memory_;
  Segment segment_;
};

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_SEGMENT_MANAGED_MEMORY_H_
