// Segments without a name, in sealed memory: reached by descriptors that are handed over.
//
// What named files leave to trust is enforced here: nobody but the producer can write data, no consumer can write what another
// one says, and nobody can cut a segment short under those who have it mapped.
//
// Thread safety: thread-safe.
#ifndef PYLABHUB_SHM_CHANNEL_SEALED_SEGMENT_H_
#define PYLABHUB_SHM_CHANNEL_SEALED_SEGMENT_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "shm/channel/segment.h"
#include "shm/channel_config.h"
#include "shm/os/mapping.h"
#include "shm/part_plan.h"
#include "shm/segment_descriptors.h"
#include "shm/segment_id.h"

namespace pylabhub::shm {

struct SealedSegment {
  CreatedSegment segment;
  SegmentDescriptors
      descriptors;  // to hand over; opened apart from the one that the producer's lock was taken through
};

// Creates a segment, sealed, with every page reserved, and its producer's lock taken. kResourceExhausted if there is not enough
// memory, or if the process may not have so many descriptors.
absl::StatusOr<SealedSegment> CreateSealedSegment(const ChannelConfig& config, const SegmentId& segment_id,
                                                  const SegmentId& predecessor_id);

struct SealedPart {
  ControlPart part;
  UniqueFd descriptor;  // to hand over
};

// A fresh part of a segment that there is, for the `renewals`th time.
absl::StatusOr<SealedPart> CreateSealedPart(const ChannelConfig& config, const PartPlan& plan,
                                            const SegmentId& segment_id, uint32_t renewals);

// Opens the descriptors anew, checks that they are what they should be before anything is mapped, and then maps and checks
// the segment. kFailedPrecondition if they are not a whole, sealed, sound segment of this version; the message says what
// they are instead.
absl::StatusOr<OpenedSegment> OpenSealedSegment(const ConsumerDescriptors& descriptors);
// The same for who only looks, at all parts that are not missing, and that their consumers have not spoilt.
absl::StatusOr<OpenedSegment> OpenSealedSegment(const SegmentDescriptors& descriptors);

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_CHANNEL_SEALED_SEGMENT_H_
