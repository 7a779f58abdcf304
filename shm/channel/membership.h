// A consumer's place in a segment: taken, entered, left.
//
// Thread safety: thread-compatible.
#ifndef PYLABHUB_SHM_CHANNEL_MEMBERSHIP_H_
#define PYLABHUB_SHM_CHANNEL_MEMBERSHIP_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "shm/channel/segment.h"
#include "shm/channel_config.h"
#include "shm/join_point.h"
#include "shm/read_order.h"
#include "shm/ring/ring_reader.h"
#include "shm/segment/layout.h"

namespace pylabhub::shm {

struct Membership {
  uint32_t place;
  ConsumerEntry* entry;  // in which nobody else writes
  StartingPoint start;
  uint32_t pins;  // that it has declared
};

// What a consumer brings with it.
struct Applicant {
  uint64_t token;  // random, more than 1
  ReadOrder order;
  uint32_t group = 0;        // 1 + the index of its group; 0: it reads for itself
  bool keeps_place = false;  // it had `place` in the predecessor, and may have it kept here
  uint32_t place = 0;
  uint32_t max_batch = 1;  // slots that it may hold at once
  JoinPoint start = {};
  WhenSlow when_slow = WhenSlow::kBlock;
  absl::Duration patience = absl::InfiniteDuration();  // with another when_slow than kBlock
};

// True if the producer, once it knows of the consumer, never writes over a slot that this one has not released: then slots
// are read where they lie.
bool IsWaitedForWithoutEnd(const ChannelConfig& config, const Applicant& applicant);
// The group of a consumer that reads in this order and asked for group `name`, or for none: 1 + its index; 0: it reads for
// itself. Without a name it is the channel's only group.
//
// Errors: kNotFound if there is no such group, kInvalidArgument if there are several and no name; both list the groups.
absl::StatusOr<uint32_t> ChooseGroup(const ChannelConfig& config, ReadOrder order,
                                     const std::optional<std::string>& name);

// Takes a place, by its lock, and enters it. The order of the steps is drawn in consumer_roster.h.
//
// Errors: kInvalidArgument if the applicant's wishes contradict each other, kOutOfRange if applicant.start is yet to be
// written, kResourceExhausted if no place is free, or if no more pins are, kFailedPrecondition if it was handed a part that is
// another group's, or that was replaced meanwhile.
absl::StatusOr<Membership> Join(const OpenedSegment& segment, const Applicant& applicant);

// Gives the place back, and wakes a producer that waits for it. The lock goes with the segment's mapping.
void Leave(const OpenedSegment& segment, const Membership& membership);

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_CHANNEL_MEMBERSHIP_H_
