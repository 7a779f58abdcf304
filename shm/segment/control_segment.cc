#include "shm/segment/control_segment.h"

#include <new>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "shm/channel_config.h"
#include "shm/segment/geometry.h"
#include "shm/segment/managed_memory.h"
#include "shm/segment/private_copy.h"
#include "shm/segment/superblock.h"

namespace pylabhub::shm {

size_t ControlFileBytes(uint32_t max_consumers) {
  const size_t parts_bytes = sizeof(ControlHeader) + max_consumers * sizeof(ConsumerEntry);
  const size_t bytes = kPageBytes + ManagedMemory::kOverheadBytes + parts_bytes;
  return (bytes + kPageBytes - 1) / kPageBytes * kPageBytes;
}

ControlView BuildControl(std::span<std::byte> memory, uint32_t max_consumers, const SegmentId& segment_id) {
  ManagedMemory managed(memory);
  const uint64_t header_offset = managed.Allocate(sizeof(ControlHeader), kSpacingBytes);
  const uint64_t entries_offset = managed.Allocate(max_consumers * sizeof(ConsumerEntry), kSpacingBytes);
  managed.Name("header", header_offset);
  managed.Name("entries", entries_offset);

  auto* header = new (memory.data() + header_offset) ControlHeader{};
  header->segment_id = segment_id;
  header->entries_offset_bytes = entries_offset;
  header->max_consumers = max_consumers;
  auto* entries = At<ConsumerEntry>(memory.data(), entries_offset);
  for (uint32_t i = 0; i < max_consumers; ++i) new (&entries[i]) ConsumerEntry{};
  WriteSuperblock(memory, segment_id, header_offset);
  PublishSuperblock(memory, kControlMagic);
  return {header, entries, max_consumers, segment_id};
}

absl::StatusOr<ControlView> ViewControl(std::span<std::byte> memory) {
  const absl::StatusOr<CheckedSuperblock> superblock =
      CheckSuperblock(memory, kControlMagic, sizeof(ControlHeader));
  if (!superblock.ok()) return superblock.status();
  ControlView view;
  view.header = At<ControlHeader>(memory.data(), superblock->header_offset_bytes);
  ControlHeader fixed{};
  CopyFixedPart(fixed, *view.header, offsetof(ControlHeader, membership_changes));
  view.max_consumers = fixed.max_consumers;
  view.segment_id = superblock->segment_id;
  const uint64_t offset = fixed.entries_offset_bytes;
  if (view.max_consumers < 1 || view.max_consumers > kMaxConsumers || offset < kPageBytes ||
      offset % kSpacingBytes != 0 || offset > memory.size() ||
      view.max_consumers * sizeof(ConsumerEntry) > memory.size() - offset) {
    return absl::FailedPreconditionError(
        absl::StrCat("the segment is damaged: ", view.max_consumers, " consumer entries at ", offset));
  }
  view.entries = At<ConsumerEntry>(memory.data(), offset);
  return view;
}

}  // namespace pylabhub::shm
