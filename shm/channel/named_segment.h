// The segments of a named channel, each in two files.
//
// Thread safety: thread-safe.
#ifndef PYLABHUB_SHM_CHANNEL_NAMED_SEGMENT_H_
#define PYLABHUB_SHM_CHANNEL_NAMED_SEGMENT_H_

#include "absl/status/statusor.h"
#include "shm/channel/channel_files.h"
#include "shm/channel/segment.h"
#include "shm/channel_config.h"
#include "shm/os/mapping.h"
#include "shm/segment_id.h"

namespace pylabhub::shm {

// Creates both files, with every page reserved. On an error nothing is left of them.
absl::StatusOr<CreatedSegment> CreateNamedSegment(const ChannelFiles& files, const ChannelConfig& config,
                                                  const SegmentId& segment_id,
                                                  const SegmentId& predecessor_id);

// kNotFound if a file is missing, kFailedPrecondition if one is not what it should be. `control_access` is
// kReadOnly for who only looks.
absl::StatusOr<OpenedSegment> OpenNamedSegment(const ChannelFiles& files, const SegmentId& segment_id,
                                               Access control_access);

// Whether OpenNamedSegment said that there is no such segment that anybody could use, rather than that it could not look.
inline bool IsMissingOrDamaged(const absl::Status& status) {
  return absl::IsNotFound(status) || absl::IsFailedPrecondition(status);
}

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_CHANNEL_NAMED_SEGMENT_H_
