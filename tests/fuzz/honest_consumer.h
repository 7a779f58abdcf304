// A consumer that does as it should beside others who do not: it must be given what was committed, or be told that it was
// not.
//
// Thread safety: thread-compatible.
// Ownership:     the segment, its entry and `committed_bytes` must outlive it.
#ifndef PYLABHUB_TESTS_FUZZ_HONEST_CONSUMER_H_
#define PYLABHUB_TESTS_FUZZ_HONEST_CONSUMER_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <span>
#include <vector>

#include "shm/ring/ring_reader.h"
#include "shm/ring/ring_writer.h"
#include "shm/segment/data_segment.h"
#include "shm/segment/layout.h"
#include "tests/fuzz/input.h"

namespace pylabhub::fuzz {

inline constexpr uint32_t kMaxBatch = 2;

// What the producer fills the slot of this number with.
inline int FillerOf(uint64_t sequence) { return static_cast<uint8_t>(sequence * 31 + 7); }

class HonestConsumer {
 public:
  // `committed_bytes`: the size of each slot that was committed.
  HonestConsumer(const shm::DataView& view, shm::ConsumerEntry* entry, shm::ReaderSetup setup,
                 const std::vector<size_t>& committed_bytes);

  // Others have spoilt what it says itself, or it was evicted: from now on only what it reads must be right.
  void ExpectAnything() { is_spared_ = false; }
  // From now on no slot from `sequence` on may be missed.
  void ExpectAllFrom(uint64_t sequence) { may_miss_below_ = sequence; }

  // Up to `slots` of them, if it holds none.
  void Acquire(size_t slots);
  // `stays`: what it holds must not have been written over, if it is spared.
  void Release(bool stays);
  void Sleep();
  // Until there is no more.
  void ReadToTheEnd(uint64_t end);
  // It must know that the producer has closed.
  void LearnOfTheEnd() const;

  size_t held() const { return held_.size(); }
  // It has given back all slots below.
  uint64_t released_below() const { return released_below_; }

 private:
  bool IsRight(const shm::SlotView& slot) const;

  const std::vector<size_t>& committed_bytes_;
  bool is_member_;
  bool is_spared_ = true;
  uint64_t may_miss_below_ = std::numeric_limits<uint64_t>::max();
  shm::RingReader reader_;
  std::array<shm::SlotView, kMaxBatch> slots_;
  std::span<const shm::SlotView> held_;
  uint64_t next_;  // the number that it may be given next, at the least
  uint64_t released_below_;
};

// Acquires one slot or two, fills them, and commits them with sizes from the input, one of which may be too large.
// `acquired` is called in between, with the number behind the last of them. False if there was no room.
bool Produce(shm::RingWriter& writer, uint64_t slot_bytes, Input& input, std::vector<size_t>& committed_bytes,
             const std::function<void(uint64_t end)>& acquired);

}  // namespace pylabhub::fuzz

#endif  // PYLABHUB_TESTS_FUZZ_HONEST_CONSUMER_H_
