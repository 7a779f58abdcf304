// Where a consumer that opens a channel begins to read.
#ifndef PYLABHUB_SHM_JOIN_POINT_H_
#define PYLABHUB_SHM_JOIN_POINT_H_

#include <cstdint>

namespace pylabhub::shm {

struct JoinPoint {
  enum class At : uint8_t { kNewest, kOldest, kSequence };

  // The next slot that is committed.
  static constexpr JoinPoint Newest() { return {}; }
  // The oldest slot that the channel still has. (Of slots of more than 1 KiB that everybody has read, only the newest
  // is sure to be there.)
  static constexpr JoinPoint Oldest() { return {.at = At::kOldest}; }
  // Slot `sequence` of the channel's current segment; if that is gone, the oldest that there is, and the first slot's
  // missed_slots says how many are. A number that has not been written yet is refused.
  static constexpr JoinPoint Sequence(uint64_t sequence) {
    return {.at = At::kSequence, .sequence = sequence};
  }

  At at = At::kNewest;
  uint64_t sequence = 0;
};

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_JOIN_POINT_H_
