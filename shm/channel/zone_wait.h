// Waiting for a change of a segment's zone.
//
// Thread safety: thread-safe.
#ifndef PYLABHUB_SHM_CHANNEL_ZONE_WAIT_H_
#define PYLABHUB_SHM_CHANNEL_ZONE_WAIT_H_

#include <cstdint>

#include "absl/time/time.h"
#include "shm/channel/segment.h"
#include "shm/channel_config.h"
#include "shm/slot_result.h"

namespace pylabhub::shm {

// Waits at most `timeout` until the zone has a version above `after_version`. kOk, kTimeout, kNoZone; kProducerClosed or
// kProducerDead if there will be none.
SlotResult WaitForZone(const OpenedSegment& segment, uint64_t after_version, const WaitOptions& options,
                       absl::Duration timeout);

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_CHANNEL_ZONE_WAIT_H_
