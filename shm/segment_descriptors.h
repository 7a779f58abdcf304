// The two descriptors of a sealed segment: whoever has them can attach to it, and nobody else can. They go from process to
// process over a Unix socket.
//
//   producer                                            consumer
//   auto camera = DataBlockProducer::CreateSealed(...)
//   SendSegment(socket, (*camera)->descriptors(), ...)  auto segment = ReceiveSegment(socket, ...)
//                                                       DataBlockConsumer::OpenSealed(segment->descriptors)
//
// Thread safety: thread-compatible.
// Ownership:     owns the descriptors; a child of fork() does not have them. No lock is taken through them: who attaches
//                opens them anew, so they may be passed on, and attached to more than once.
#ifndef PYLABHUB_SHM_SEGMENT_DESCRIPTORS_H_
#define PYLABHUB_SHM_SEGMENT_DESCRIPTORS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "shm/os/fork_guard.h"

namespace pylabhub::shm {

struct SegmentDescriptors {
  UniqueFd data;     // to be read
  UniqueFd control;  // to be written by every consumer

  // The same segment, with descriptors of their own. kResourceExhausted if the process has no room for them.
  absl::StatusOr<SegmentDescriptors> Duplicate() const;
};

// Passes the descriptors to the process at the other end of `socket`, an AF_UNIX socket of type SOCK_SEQPACKET; `note`, of
// at most 1024 bytes, tells it what they are. Waits at most `timeout`. Errors: see SendParcel in os/descriptor_passing.h.
absl::Status SendSegment(int socket, const SegmentDescriptors& descriptors, absl::string_view note,
                         absl::Duration timeout);

struct ReceivedSegment {
  SegmentDescriptors descriptors;  // not yet looked at: attaching does that
  std::string note;
};

// Receives what SendSegment sent. Errors: see ReceiveParcel in os/descriptor_passing.h.
absl::StatusOr<ReceivedSegment> ReceiveSegment(int socket, absl::Duration timeout);

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_SEGMENT_DESCRIPTORS_H_
