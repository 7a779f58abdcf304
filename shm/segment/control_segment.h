// A control segment in a mapping: an entry for each consumer, written by that consumer.
//
// Thread safety: thread-compatible.
// Ownership:     views point into a mapping that must outlive them.
#ifndef PYLABHUB_SHM_SEGMENT_CONTROL_SEGMENT_H_
#define PYLABHUB_SHM_SEGMENT_CONTROL_SEGMENT_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/status/statusor.h"
#include "shm/segment/layout.h"
#include "shm/segment_id.h"

namespace pylabhub::shm {

// Addresses and the checked private copy of what is fixed. The producer's mapping is read-only after
// creation.
struct ControlView {
  ControlHeader* header = nullptr;
  ConsumerEntry* entries = nullptr;
  uint32_t max_consumers = 0;
  SegmentId segment_id;
};

size_t ControlFileBytes(uint32_t max_consumers);

// Builds a control segment in `memory`, all zero and of ControlFileBytes, and publishes it.
ControlView BuildControl(std::span<std::byte> memory, uint32_t max_consumers, const SegmentId& segment_id);

// kFailedPrecondition if `memory` is not a whole, sound, published control segment of this version.
absl::StatusOr<ControlView> ViewControl(std::span<std::byte> memory);

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_SEGMENT_CONTROL_SEGMENT_H_
