// Earlier segments of a channel whose memory is handed over, as its next producer opens them to keep places for who still reads
// there.
//
// Thread safety: thread-safe.
#ifndef PYLABHUB_SHM_CHANNEL_PREDECESSORS_H_
#define PYLABHUB_SHM_CHANNEL_PREDECESSORS_H_

#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "shm/channel/segment.h"
#include "shm/channel_config.h"
#include "shm/segment_descriptors.h"

namespace pylabhub::shm {

// The segments that `descriptors` lead to: earlier ones of the channel, oldest first.
//
// Errors: kInvalidArgument (another channel's, or in another order), kAlreadyExists (the producer of one of them lives), and
//         those of OpenSealedSegment.
absl::StatusOr<std::vector<OpenedSegment>> OpenPredecessors(const ChannelConfig& config,
                                                            std::span<const SegmentDescriptors> descriptors);

// One segment with those of its parts that are `wanted`, by index.
absl::StatusOr<OpenedSegment> OpenWithParts(const SegmentDescriptors& descriptors,
                                            const std::vector<bool>& wanted);

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_CHANNEL_PREDECESSORS_H_
