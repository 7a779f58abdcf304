// A control segment in a mapping: an entry for each consumer, written by that consumer, and the claims of each group. It is the
// whole of a named channel's control, or one part of that of a channel whose memory is handed over (shm/part_plan.h).
//
// Thread safety: thread-compatible.
// Ownership:     views point into a mapping that must outlive them.
#ifndef PYLABHUB_SHM_SEGMENT_CONTROL_SEGMENT_H_
#define PYLABHUB_SHM_SEGMENT_CONTROL_SEGMENT_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/status/statusor.h"
#include "shm/channel_config.h"
#include "shm/part_plan.h"
#include "shm/segment/layout.h"
#include "shm/segment_id.h"

namespace pylabhub::shm {

// How much of everything there is in a control segment.
struct ControlShape {
  uint32_t max_consumers = 0;
  uint32_t group_count = 0;
  uint32_t capacity_slots = 0;  // claim words of each group; 0 without groups
  uint32_t first_place = 0;     // of the places in it
  uint32_t first_group = 0;     // the index of its first group
  uint32_t renewals = 0;        // how often the part was replaced by a fresh one

  // With everything that a channel has.
  static ControlShape Of(const ChannelConfig& config);
  static ControlShape OfPart(const ChannelConfig& config, const PartPlan& plan, uint32_t renewals);
  bool operator==(const ControlShape&) const = default;
};

// Addresses and the checked private copy of what is fixed. The producer's mapping is read-only after
// creation.
struct ControlView {
  ControlHeader* header = nullptr;
  ConsumerEntry* entries = nullptr;
  std::byte* groups = nullptr;
  ControlShape shape;
  SegmentId segment_id;

  // Places and groups go by their numbers in the channel: of those that are in this part.
  uint32_t max_consumers() const { return shape.max_consumers; }
  uint32_t first_place() const { return shape.first_place; }
  uint32_t end_place() const { return shape.first_place + shape.max_consumers; }
  bool has_place(uint32_t place) const { return place >= first_place() && place < end_place(); }
  bool has_group(uint32_t index) const {
    return index >= shape.first_group && index - shape.first_group < shape.group_count;
  }
  ConsumerEntry& entry(uint32_t place) const { return entries[place - shape.first_place]; }
  GroupEntry& group(uint32_t index) const;
  // One for each cell of the ring.
  std::span<std::atomic<uint64_t>> claims(uint32_t index) const;
};

size_t ControlFileBytes(const ControlShape& shape);

// Builds a control segment in `memory`, all zero and of ControlFileBytes, and publishes it.
ControlView BuildControl(std::span<std::byte> memory, const ControlShape& shape, const SegmentId& segment_id);

// kFailedPrecondition if `memory` is not a whole, sound, published control segment of this version.
absl::StatusOr<ControlView> ViewControl(std::span<std::byte> memory);

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_SEGMENT_CONTROL_SEGMENT_H_
