// A consumer's place in a segment: taken, entered, left.
//
// Thread safety: thread-compatible.
#ifndef PYLABHUB_SHM_CHANNEL_MEMBERSHIP_H_
#define PYLABHUB_SHM_CHANNEL_MEMBERSHIP_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "shm/channel/segment.h"
#include "shm/read_order.h"
#include "shm/ring/ring_reader.h"
#include "shm/segment/layout.h"

namespace pylabhub::shm {

struct Membership {
  uint32_t place;
  ConsumerEntry* entry;  // in which nobody else writes
  StartingPoint start;
};

// What a consumer brings with it.
struct Applicant {
  uint64_t token;  // random, more than 1
  ReadOrder order;
  bool keeps_place = false;  // it had `place` in the predecessor, and may have it kept here
  uint32_t place = 0;
  uint32_t max_batch = 1;  // slots that it may hold at once
};

// Takes a place, by its lock, and enters it. The order of the steps is drawn in consumer_roster.h.
// kResourceExhausted if none is free, or if no more pins are.
absl::StatusOr<Membership> Join(const OpenedSegment& segment, const Applicant& applicant);

// Gives the place back, and wakes a producer that waits for it. The lock goes with the segment's mapping.
void Leave(const OpenedSegment& segment, const Membership& membership);

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_CHANNEL_MEMBERSHIP_H_
