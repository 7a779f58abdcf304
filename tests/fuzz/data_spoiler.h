// Writes into a copy of a real data segment what an input says: by name where things have names, since random offsets
// in a file of pages hit little that matters.
//
// Thread safety: thread-compatible.
// Ownership:     the memory must outlive it.
#ifndef PYLABHUB_TESTS_FUZZ_DATA_SPOILER_H_
#define PYLABHUB_TESTS_FUZZ_DATA_SPOILER_H_

#include <cstddef>
#include <cstdint>

#include "shm/schema.h"
#include "shm/segment/geometry.h"
#include "tests/fuzz/input.h"
#include "tests/shm/segment_memory.h"

namespace pylabhub::fuzz {

class DataSpoiler {
 public:
  // `memory` holds a sound segment.
  explicit DataSpoiler(const shm::SegmentMemory& memory);

  // One write, or one part that is replaced by another.
  void Step(Input& input) const;

 private:
  template <typename Word>
  void Replace(uint64_t offset_bytes, Input& input) const;
  void ReplaceInCell(Input& input) const;
  void ReplaceChunkSequence(Input& input) const;
  void ReplaceSchema(Input& input) const;
  void ReplaceByte(Input& input) const;

  const shm::SegmentMemory& memory_;
  shm::Geometry geometry_;
  shm::Schema schema_;
  uint64_t header_offset_bytes_;
  uint64_t schema_offset_bytes_;
};

}  // namespace pylabhub::fuzz

#endif  // PYLABHUB_TESTS_FUZZ_DATA_SPOILER_H_
