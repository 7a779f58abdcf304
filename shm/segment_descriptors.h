// The descriptors of a segment in sealed memory: whoever has them can attach to it, and nobody else can. They go from process to
// process over a Unix socket.
//
//   producer                                                 consumer
//   auto camera = DataBlockProducer::CreateSealed(...)
//   SendSegment(socket, *all.ForConsumer(part), ...)         auto segment = ReceiveSegment(socket, ...)
//                                                            DataBlockConsumer::OpenSealed(segment->descriptors)
//
// A segment has data, which its producer alone writes; a bell, which every consumer may write and on which nothing depends but how
// soon the producer looks; and parts, in which its consumers say how far they are (part_plan.h). Each part goes to one consumer,
// once; that of a group, to the group's members. So no consumer can write what another one says.
//
// Thread safety: thread-compatible.
// Ownership:     owns the descriptors; a child of fork() does not have them. No lock is taken through them: who attaches
//                opens them anew, so they may be passed on, and attached to more than once.
#ifndef PYLABHUB_SHM_SEGMENT_DESCRIPTORS_H_
#define PYLABHUB_SHM_SEGMENT_DESCRIPTORS_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "shm/os/fork_guard.h"

namespace pylabhub::shm {

// What one consumer gets.
struct ConsumerDescriptors {
  UniqueFd data;  // to be read
  UniqueFd bell;  // to be written by every consumer
  UniqueFd part;  // to be written by this consumer, or by the members of its group

  // The same, with descriptors of their own. kResourceExhausted if the process has no room for them.
  absl::StatusOr<ConsumerDescriptors> Duplicate() const;
};

// Everything.
struct SegmentDescriptors {
  UniqueFd data;
  UniqueFd bell;
  std::vector<UniqueFd> parts;  // by index, as PlanParts; one that is not valid is missing

  absl::StatusOr<SegmentDescriptors> Duplicate() const;
  // What the consumer gets that is to have this part; kNotFound if it is missing.
  absl::StatusOr<ConsumerDescriptors> ForConsumer(size_t part) const;
};

// A copy of one descriptor. kResourceExhausted if the process has no room for it.
absl::StatusOr<UniqueFd> DuplicateDescriptor(const UniqueFd& descriptor);

// Passes the descriptors to the process at the other end of `socket`, an AF_UNIX socket of type SOCK_SEQPACKET; `note`, of
// at most 1024 bytes, tells it what they are. Waits at most `timeout`. Errors: see SendParcel in os/descriptor_passing.h.
absl::Status SendSegment(int socket, const ConsumerDescriptors& descriptors, absl::string_view note,
                         absl::Duration timeout);

struct ReceivedSegment {
  ConsumerDescriptors descriptors;  // not yet looked at: attaching does that
  std::string note;
};

// Receives what SendSegment sent. Errors: see ReceiveParcel in os/descriptor_passing.h.
absl::StatusOr<ReceivedSegment> ReceiveSegment(int socket, absl::Duration timeout);

// The same for all of a segment, to the channel's next producer or to who deals the parts out; none may be missing
// (kInvalidArgument). In several parcels, if it has many parts; `note` has at most 1000 bytes.
absl::Status SendWholeSegment(int socket, const SegmentDescriptors& descriptors, absl::string_view note,
                              absl::Duration timeout);

struct ReceivedWholeSegment {
  SegmentDescriptors descriptors;  // not yet looked at
  std::string note;
};

absl::StatusOr<ReceivedWholeSegment> ReceiveWholeSegment(int socket, absl::Duration timeout);

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_SEGMENT_DESCRIPTORS_H_
