// What a producer whose memory is handed over gives to who deals it out (a broker, for one).
#ifndef PYLABHUB_SHM_HANDED_OVER_H_
#define PYLABHUB_SHM_HANDED_OVER_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "shm/segment_descriptors.h"
#include "shm/segment_id.h"

namespace pylabhub::shm {

// All descriptors of one segment.
struct HandedOver {
  SegmentId segment_id;
  SegmentDescriptors descriptors;
};

// Fresh parts of one segment.
struct RenewedParts {
  SegmentId segment_id;
  std::vector<uint32_t> parts;  // their indices
  std::vector<UniqueFd> descriptors;
};

// Called in the producer's thread, within its Acquire, when it has moved on: with the new segment, or with why it could not.
using MovedOn = std::function<void(absl::StatusOr<HandedOver> successor)>;

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_HANDED_OVER_H_
