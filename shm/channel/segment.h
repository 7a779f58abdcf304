// A channel's segment as a process has it: data and control, mapped and checked. The same whether its memory has a name
// in a tmpfs (named_segment.h) or was handed over (sealed_segment.h).
//
// Thread safety: thread-compatible.
// Ownership:     owns its mappings, and the locks that were taken through them.
#ifndef PYLABHUB_SHM_CHANNEL_SEGMENT_H_
#define PYLABHUB_SHM_CHANNEL_SEGMENT_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "shm/channel_config.h"
#include "shm/os/mapping.h"
#include "shm/segment/control_segment.h"
#include "shm/segment/data_segment.h"
#include "shm/segment_id.h"

namespace pylabhub::shm {

// As its producer has it: data writable and its lock held, control to be read. Not yet to be opened by
// anybody: Publish does that, when everything else stands.
struct CreatedSegment {
  Mapping data;
  Mapping control;
  DataSegment data_segment;
  ControlView control_view;

  void Publish() { PublishData(data.bytes()); }
};

// Builds a segment in two mappings, all zero, of DataFileBytes and ControlFileBytes. The producer's lock is the caller's
// to take, before.
absl::StatusOr<CreatedSegment> BuildSegment(Mapping data, Mapping control, const ChannelConfig& config,
                                            const SegmentId& segment_id, const SegmentId& predecessor_id);

// As everybody else has it: data read-only.
struct OpenedSegment {
  Mapping data;
  Mapping control;
  DataView data_view;
  ControlView control_view;

  bool ProducerLives() const;
  // The consumer at `place`; not for the caller's own place.
  bool ConsumerLives(uint32_t place) const;
  uint32_t CountLivingConsumers() const;
  // How many committed slots the group at this index has still to read and release.
  uint64_t CountUndone(uint32_t group) const;
  // True if every group has read and released every committed slot, or if there are no groups.
  bool IsDrained() const;
};

// kFailedPrecondition if one of the two is not what it should be, or if they do not belong together; the message calls
// them by `data_name` and `control_name`.
absl::StatusOr<OpenedSegment> ViewSegment(Mapping data, Mapping control, absl::string_view data_name,
                                          absl::string_view control_name);

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_CHANNEL_SEGMENT_H_
