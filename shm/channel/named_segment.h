// A segment of a named channel: its two files, mapped and checked.
//
// Thread safety: thread-compatible.
// Ownership:     owns its mappings, and the locks that were taken through them.
#ifndef PYLABHUB_SHM_CHANNEL_NAMED_SEGMENT_H_
#define PYLABHUB_SHM_CHANNEL_NAMED_SEGMENT_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "shm/channel/channel_files.h"
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

// Creates both files, with every page reserved. On an error nothing is left of them.
absl::StatusOr<CreatedSegment> CreateNamedSegment(const ChannelFiles& files, const ChannelConfig& config,
                                                  const SegmentId& segment_id,
                                                  const SegmentId& predecessor_id);

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
};

// kNotFound if a file is missing, kFailedPrecondition if one is not what it should be. `control_access` is
// kReadOnly for who only looks.
absl::StatusOr<OpenedSegment> OpenNamedSegment(const ChannelFiles& files, const SegmentId& segment_id,
                                               Access control_access);

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_CHANNEL_NAMED_SEGMENT_H_
