#include "shm/segment/geometry.h"

#include "absl/strings/str_cat.h"
#include "shm/part_plan.h"

namespace pylabhub::shm {
namespace {

constexpr uint64_t RoundUp(uint64_t value, uint64_t step) { return (value + step - 1) / step * step; }

absl::Status Damaged(absl::string_view what) {
  return absl::FailedPreconditionError(absl::StrCat("the segment is damaged: ", what));
}

// Parts have at most 2^16 members of at most 2^30 bytes, so no sum here overflows.
absl::Status CheckPart(absl::string_view name, uint64_t offset_bytes, uint64_t bytes, uint64_t alignment,
                       uint64_t file_bytes) {
  if (bytes == 0) return absl::OkStatus();
  if (offset_bytes < kPageBytes || offset_bytes > file_bytes || bytes > file_bytes - offset_bytes) {
    return Damaged(absl::StrCat("its ", name, " lie outside of the file (offset ", offset_bytes, ", ", bytes,
                                " bytes, file ", file_bytes, ")"));
  }
  if (offset_bytes % alignment != 0)
    return Damaged(absl::StrCat("its ", name, " are not aligned to ", alignment));
  return absl::OkStatus();
}

}  // namespace

Geometry Geometry::Of(const ChannelConfig& config) {
  Geometry geometry;
  geometry.capacity_slots = config.capacity_slots;
  geometry.place_count = config.max_consumers;
  geometry.slot_bytes = config.slot_bytes;
  geometry.zone_bytes = config.zone_bytes;
  if (config.slot_bytes <= kMaxInlineBytes) {
    geometry.cell_stride_bytes = RoundUp(sizeof(SlotDescriptor) + config.slot_bytes, kSpacingBytes);
    return geometry;
  }
  geometry.cell_stride_bytes = sizeof(SlotDescriptor);
  // The ring, one being written, and what pins keep out of use.
  geometry.chunk_count = config.capacity_slots + 1 + config.max_pins;
  geometry.chunk_stride_bytes =
      RoundUp(config.slot_bytes, config.slot_bytes < kPageBytes ? kSpacingBytes : kPageBytes);
  return geometry;
}

absl::Status Geometry::Check(const ChannelConfig& config, uint64_t file_bytes) const {
  const Geometry expected = Of(config);
  if (cell_stride_bytes != expected.cell_stride_bytes || chunk_stride_bytes != expected.chunk_stride_bytes ||
      chunk_count != expected.chunk_count) {
    return Damaged("its strides are not those of its slot_bytes and capacity_slots");
  }
  if (place_count != config.max_consumers && place_count != CountPlaces(PlanParts(config)))
    return Damaged(absl::StrCat("it has ", place_count, " places for ", config.max_consumers, " consumers"));
  const struct {
    absl::string_view name;
    uint64_t offset_bytes, bytes, alignment;
  } parts[] = {
      {"cells", cells_offset_bytes, cells_bytes(), kSpacingBytes},
      {"chunks", chunks_offset_bytes, chunks_bytes(), kSpacingBytes},
      {"chunk sequences", chunk_sequences_offset_bytes, chunk_sequences_bytes(), sizeof(uint64_t)},
      {"places", places_offset_bytes, places_bytes(), kLineBytes},
      {"zone", zone_offset_bytes, zone_part_bytes(), kSpacingBytes},
  };
  for (const auto& part : parts) {
    absl::Status status = CheckPart(part.name, part.offset_bytes, part.bytes, part.alignment, file_bytes);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace pylabhub::shm
