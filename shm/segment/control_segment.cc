#include "shm/segment/control_segment.h"

#include <new>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "shm/os/crash_point.h"
#include "shm/segment/geometry.h"
#include "shm/segment/managed_memory.h"
#include "shm/segment/private_copy.h"
#include "shm/segment/superblock.h"

namespace pylabhub::shm {
namespace {

// Behind every group's.
constexpr uint32_t kMaxFirstPlace = (kMaxGroups + 1) * kMaxConsumers - 1;

constexpr size_t RoundUp(size_t value, size_t step) { return (value + step - 1) / step * step; }

size_t EntriesBytes(const ControlShape& shape) { return shape.max_consumers * sizeof(ConsumerEntry); }

size_t GroupStrideBytes(const ControlShape& shape) {
  return sizeof(GroupEntry) + RoundUp(shape.capacity_slots * sizeof(uint64_t), kSpacingBytes);
}

size_t GroupsBytes(const ControlShape& shape) { return shape.group_count * GroupStrideBytes(shape); }

// True if `bytes` at `offset_bytes` are aligned and lie in a file of `file_bytes`, behind its superblock.
bool IsSoundPart(uint64_t offset_bytes, uint64_t bytes, uint64_t file_bytes) {
  return offset_bytes >= kPageBytes && offset_bytes % kSpacingBytes == 0 && offset_bytes <= file_bytes &&
         bytes <= file_bytes - offset_bytes;
}

// Nobody has claimed the slots that the cells will hold first.
void OpenClaims(std::span<std::atomic<uint64_t>> claims) {
  // Relaxed: published with the segment.
  for (size_t slot = 0; slot < claims.size(); ++slot)
    claims[slot].store(ClaimWord(slot, ClaimState::kOpen), std::memory_order_relaxed);
}

bool IsSoundShape(const ControlShape& shape) {
  return shape.max_consumers >= 1 && shape.max_consumers <= kMaxConsumers &&
         shape.group_count <= kMaxGroups && shape.capacity_slots <= kMaxCapacitySlots &&
         (shape.group_count == 0) == (shape.capacity_slots == 0) && shape.first_place <= kMaxFirstPlace &&
         shape.first_group <= kMaxGroups && shape.renewals <= kMaxRenewals;
}

}  // namespace

ControlShape ControlShape::Of(const ChannelConfig& config) {
  return {.max_consumers = config.max_consumers,
          .group_count = static_cast<uint32_t>(config.groups.size()),
          .capacity_slots = config.groups.empty() ? 0 : config.capacity_slots};
}

ControlShape ControlShape::OfPart(const ChannelConfig& config, const PartPlan& plan, uint32_t renewals) {
  const bool shared = plan.group != 0;
  return {.max_consumers = plan.places,
          .group_count = shared ? 1u : 0u,
          .capacity_slots = shared ? config.capacity_slots : 0,
          .first_place = plan.first_place,
          .first_group = shared ? plan.group - 1 : 0,
          .renewals = renewals};
}

GroupEntry& ControlView::group(uint32_t index) const {
  return *At<GroupEntry>(groups, (index - shape.first_group) * GroupStrideBytes(shape));
}

std::span<std::atomic<uint64_t>> ControlView::claims(uint32_t index) const {
  return {At<std::atomic<uint64_t>>(
              groups, (index - shape.first_group) * GroupStrideBytes(shape) + sizeof(GroupEntry)),
          shape.capacity_slots};
}

size_t ControlFileBytes(const ControlShape& shape) {
  const size_t parts_bytes = sizeof(ControlHeader) + EntriesBytes(shape) + GroupsBytes(shape);
  return RoundUp(kPageBytes + ManagedMemory::kOverheadBytes + parts_bytes, kPageBytes);
}

ControlView BuildControl(std::span<std::byte> memory, const ControlShape& shape,
                         const SegmentId& segment_id) {
  ManagedMemory managed(memory);
  const uint64_t header_offset = managed.Allocate(sizeof(ControlHeader), kSpacingBytes);
  const uint64_t entries_offset = managed.Allocate(EntriesBytes(shape), kSpacingBytes);
  managed.Name("header", header_offset);
  managed.Name("entries", entries_offset);
  uint64_t groups_offset = 0;
  if (shape.group_count != 0) {
    groups_offset = managed.Allocate(GroupsBytes(shape), kSpacingBytes);
    managed.Name("groups", groups_offset);
  }

  auto* header = new (memory.data() + header_offset) ControlHeader{};
  header->segment_id = segment_id;
  header->entries_offset_bytes = entries_offset;
  header->groups_offset_bytes = groups_offset;
  header->max_consumers = shape.max_consumers;
  header->group_count = shape.group_count;
  header->capacity_slots = shape.capacity_slots;
  header->first_place = shape.first_place;
  header->first_group = shape.first_group;
  header->renewals = shape.renewals;
  PYLABHUB_CRASH_POINT("segment.build.control_header_written");
  auto* entries = At<ConsumerEntry>(memory.data(), entries_offset);
  for (uint32_t i = 0; i < shape.max_consumers; ++i) {
    new (&entries[i]) ConsumerEntry{};
    entries[i].state.store(StateOf(0, Phase::kFree, shape.renewals), std::memory_order_relaxed);
  }
  const ControlView view = {header, entries, memory.data() + groups_offset, shape, segment_id};
  for (uint32_t group = 0; group < shape.group_count; ++group)
    OpenClaims(view.claims(shape.first_group + group));
  WriteSuperblock(memory, segment_id, header_offset);
  PublishSuperblock(memory, kControlMagic);
  return view;
}

absl::StatusOr<ControlView> ViewControl(std::span<std::byte> memory) {
  const absl::StatusOr<CheckedSuperblock> superblock =
      CheckSuperblock(memory, kControlMagic, sizeof(ControlHeader));
  if (!superblock.ok()) return superblock.status();
  ControlView view;
  view.header = At<ControlHeader>(memory.data(), superblock->header_offset_bytes);
  ControlHeader fixed{};
  CopyFixedPart(fixed, *view.header, offsetof(ControlHeader, membership_changes));
  view.shape = {.max_consumers = fixed.max_consumers,
                .group_count = fixed.group_count,
                .capacity_slots = fixed.capacity_slots,
                .first_place = fixed.first_place,
                .first_group = fixed.first_group,
                .renewals = fixed.renewals};
  view.segment_id = superblock->segment_id;
  const bool sound = IsSoundShape(view.shape) &&
                     IsSoundPart(fixed.entries_offset_bytes, EntriesBytes(view.shape), memory.size()) &&
                     (view.shape.group_count == 0 ||
                      IsSoundPart(fixed.groups_offset_bytes, GroupsBytes(view.shape), memory.size()));
  if (!sound) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the segment is damaged: ", fixed.max_consumers, " consumer entries at ", fixed.entries_offset_bytes,
        ", ", fixed.group_count, " groups at ", fixed.groups_offset_bytes));
  }
  view.entries = At<ConsumerEntry>(memory.data(), fixed.entries_offset_bytes);
  // Without groups nobody has looked at their offset.
  if (view.shape.group_count != 0) view.groups = memory.data() + fixed.groups_offset_bytes;
  return view;
}

}  // namespace pylabhub::shm
