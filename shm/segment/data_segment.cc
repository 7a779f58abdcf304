#include "shm/segment/data_segment.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <string>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "shm/os/crash_point.h"
#include "shm/segment/managed_memory.h"
#include "shm/segment/private_copy.h"
#include "shm/segment/superblock.h"

namespace pylabhub::shm {
namespace {

// 4096 fields of the longest names and units fit.
constexpr uint64_t kMaxSchemaBytes = uint64_t{1} << 20;

constexpr uint64_t RoundUpToPage(uint64_t bytes) {
  return (bytes + kPageBytes - 1) / kPageBytes * kPageBytes;
}

uint64_t ChunkAlignment(const Geometry& geometry) {
  return geometry.chunk_stride_bytes % kPageBytes == 0 ? kPageBytes : kSpacingBytes;
}

void WriteIdentity(DataHeader* header, const ChannelConfig& config, const SegmentId& segment_id,
                   const SegmentId& predecessor_id) {
  header->segment_id = segment_id;
  header->predecessor_id = predecessor_id;
  config.channel.copy(header->channel, sizeof(header->channel) - 1);
  header->created_ns = absl::GetCurrentTimeNanos();
  header->producer_pid = getpid();
}

void WriteConfig(DataHeader* header, const ChannelConfig& config) {
  header->policy = static_cast<uint32_t>(config.policy);
  header->buffering = static_cast<uint32_t>(config.buffering);
  header->capacity_slots = config.capacity_slots;
  header->max_consumers = config.max_consumers;
  header->max_pins = config.max_pins;
  header->min_consumers = config.min_consumers;
  header->slot_bytes = config.slot_bytes;
  header->reservation_ttl_ns = absl::ToInt64Nanoseconds(config.reservation_ttl);
  // InfiniteDuration becomes the largest number that there is.
  header->max_patience_ns = absl::ToInt64Nanoseconds(config.max_patience);
  header->checksum = static_cast<uint32_t>(config.checksum);
  header->group_count = static_cast<uint32_t>(config.groups.size());
  for (size_t i = 0; i < config.groups.size(); ++i) {
    config.groups[i].copy(header->groups[i], kGroupNameBytes - 1);
  }
}

void WriteGeometry(DataHeader* header, const Geometry& geometry) {
  header->cells_offset_bytes = geometry.cells_offset_bytes;
  header->cell_stride_bytes = geometry.cell_stride_bytes;
  header->chunks_offset_bytes = geometry.chunks_offset_bytes;
  header->chunk_stride_bytes = geometry.chunk_stride_bytes;
  header->chunk_sequences_offset_bytes = geometry.chunk_sequences_offset_bytes;
  header->places_offset_bytes = geometry.places_offset_bytes;
  header->zone_offset_bytes = geometry.zone_offset_bytes;
  header->zone_bytes = geometry.zone_bytes;
  header->chunk_count = geometry.chunk_count;
  header->place_count = geometry.place_count;
}

// Where a schema's canonical text lies, and what it hashes to.
struct SchemaPart {
  uint64_t offset_bytes;
  uint32_t bytes;
  SchemaHash hash;
};

SchemaPart WriteSchema(const Schema& schema, ManagedMemory& managed, std::span<std::byte> memory) {
  const std::string text = CanonicalText(schema);
  const uint64_t offset_bytes = managed.Allocate(text.size(), sizeof(uint64_t));
  std::memcpy(memory.data() + offset_bytes, text.data(), text.size());
  return {offset_bytes, static_cast<uint32_t>(text.size()), HashOf(schema)};
}

void WriteSchemas(DataHeader* header, const ChannelConfig& config, ManagedMemory& managed,
                  std::span<std::byte> memory) {
  const SchemaPart slots = WriteSchema(config.schema, managed, memory);
  header->schema_offset_bytes = slots.offset_bytes;
  header->schema_bytes = slots.bytes;
  std::copy(slots.hash.begin(), slots.hash.end(), header->schema_hash);
  if (config.zone_bytes == 0) return;
  const SchemaPart zone = WriteSchema(config.zone_schema, managed, memory);
  header->zone_schema_offset_bytes = zone.offset_bytes;
  header->zone_schema_bytes = zone.bytes;
  std::copy(zone.hash.begin(), zone.hash.end(), header->zone_schema_hash);
}

absl::Status Damaged(absl::string_view what) {
  return absl::FailedPreconditionError(absl::StrCat("the segment is damaged: ", what));
}

absl::StatusOr<Schema> ReadSchema(std::span<const std::byte> memory, uint64_t offset, uint64_t bytes,
                                  const uint8_t (&hash)[32]) {
  if (bytes > kMaxSchemaBytes) return Damaged("its schema is too long");
  if (offset > memory.size() || bytes > memory.size() - offset)
    return Damaged("its schema lies outside of the file");
  const std::string text(reinterpret_cast<const char*>(memory.data()) + offset, bytes);
  absl::StatusOr<Schema> schema = ParseCanonicalText(text);
  if (!schema.ok()) return Damaged(schema.status().message());
  const SchemaHash its_hash = HashOf(*schema);
  if (!std::equal(its_hash.begin(), its_hash.end(), hash)) {
    return Damaged("its schema does not have the hash that stands beside it");
  }
  return schema;
}

absl::Status ReadSchemas(const DataHeader& header, std::span<const std::byte> memory, ChannelConfig& config) {
  absl::StatusOr<Schema> slots =
      ReadSchema(memory, header.schema_offset_bytes, header.schema_bytes, header.schema_hash);
  if (!slots.ok()) return slots.status();
  config.schema = *std::move(slots);
  if (header.zone_bytes == 0) return absl::OkStatus();
  absl::StatusOr<Schema> zone =
      ReadSchema(memory, header.zone_schema_offset_bytes, header.zone_schema_bytes, header.zone_schema_hash);
  if (!zone.ok()) return zone.status();
  config.zone_schema = *std::move(zone);
  return absl::OkStatus();
}

absl::StatusOr<ChannelConfig> ReadConfig(const DataHeader& header, std::span<const std::byte> memory) {
  // The header has more bits for them than the enums have.
  if (header.policy > UINT8_MAX) return Damaged(absl::StrCat("its policy is ", header.policy));
  if (header.buffering > UINT8_MAX) return Damaged(absl::StrCat("its buffering is ", header.buffering));
  if (header.checksum > UINT8_MAX) return Damaged(absl::StrCat("its checksum is ", header.checksum));
  if (header.group_count > kMaxGroups) return Damaged(absl::StrCat("it has ", header.group_count, " groups"));
  ChannelConfig config;
  config.channel.assign(header.channel, strnlen(header.channel, sizeof(header.channel)));
  config.policy = static_cast<Policy>(header.policy);
  config.buffering = static_cast<Buffering>(header.buffering);
  config.capacity_slots = header.capacity_slots;
  config.max_consumers = header.max_consumers;
  config.max_pins = header.max_pins;
  config.min_consumers = header.min_consumers;
  config.slot_bytes = header.slot_bytes;
  config.reservation_ttl = absl::Nanoseconds(header.reservation_ttl_ns);
  config.max_patience = header.max_patience_ns == INT64_MAX ? absl::InfiniteDuration()
                                                            : absl::Nanoseconds(header.max_patience_ns);
  config.checksum = static_cast<Checksum>(header.checksum);
  config.zone_bytes = header.zone_bytes;
  for (uint32_t i = 0; i < header.group_count; ++i) {
    config.groups.emplace_back(header.groups[i], strnlen(header.groups[i], kGroupNameBytes));
  }
  if (absl::Status status = ReadSchemas(header, memory, config); !status.ok()) return status;
  if (absl::Status status = config.Validate(); !status.ok()) return Damaged(status.message());
  return config;
}

Geometry ReadGeometry(const DataHeader& header) {
  Geometry geometry;
  geometry.capacity_slots = header.capacity_slots;
  geometry.place_count = header.place_count;
  geometry.slot_bytes = header.slot_bytes;
  geometry.cells_offset_bytes = header.cells_offset_bytes;
  geometry.cell_stride_bytes = header.cell_stride_bytes;
  geometry.chunks_offset_bytes = header.chunks_offset_bytes;
  geometry.chunk_stride_bytes = header.chunk_stride_bytes;
  geometry.chunk_sequences_offset_bytes = header.chunk_sequences_offset_bytes;
  geometry.places_offset_bytes = header.places_offset_bytes;
  geometry.zone_offset_bytes = header.zone_offset_bytes;
  geometry.zone_bytes = header.zone_bytes;
  geometry.chunk_count = header.chunk_count;
  return geometry;
}

}  // namespace

size_t DataFileBytes(const ChannelConfig& config, uint32_t place_count) {
  Geometry geometry = Geometry::Of(config);
  geometry.place_count = place_count;
  const uint64_t parts_bytes = sizeof(DataHeader) + geometry.cells_bytes() + geometry.chunks_bytes() +
                               geometry.chunk_sequences_bytes() + geometry.places_bytes() +
                               geometry.zone_part_bytes() + CanonicalText(config.schema).size() +
                               (config.zone_bytes == 0 ? 0 : CanonicalText(config.zone_schema).size());
  return RoundUpToPage(kPageBytes + ManagedMemory::kOverheadBytes + parts_bytes);
}

DataSegment BuildData(std::span<std::byte> memory, const ChannelConfig& config, const SegmentId& segment_id,
                      const SegmentId& predecessor_id, uint32_t place_count) {
  ManagedMemory managed(memory);
  Geometry geometry = Geometry::Of(config);
  geometry.place_count = place_count;
  const uint64_t header_offset = managed.Allocate(sizeof(DataHeader), kSpacingBytes);
  geometry.cells_offset_bytes = managed.Allocate(geometry.cells_bytes(), kSpacingBytes);
  if (!geometry.inline_payloads()) {
    geometry.chunks_offset_bytes = managed.AllocateUnset(geometry.chunks_bytes(), ChunkAlignment(geometry));
    geometry.chunk_sequences_offset_bytes = managed.Allocate(geometry.chunk_sequences_bytes(), kSpacingBytes);
  }
  geometry.places_offset_bytes = managed.Allocate(geometry.places_bytes(), kSpacingBytes);
  if (geometry.zone_bytes != 0) {
    geometry.zone_offset_bytes = managed.Allocate(geometry.zone_part_bytes(), kSpacingBytes);
    managed.Name("zone", geometry.zone_offset_bytes);
  }
  managed.Name("header", header_offset);
  managed.Name("cells", geometry.cells_offset_bytes);
  managed.Name("chunks", geometry.chunks_offset_bytes);
  PYLABHUB_CRASH_POINT("segment.build.parts_named");

  auto* header = new (memory.data() + header_offset) DataHeader{};
  WriteIdentity(header, config, segment_id, predecessor_id);
  PYLABHUB_CRASH_POINT("segment.build.identity_written");
  WriteConfig(header, config);
  PYLABHUB_CRASH_POINT("segment.build.config_written");
  WriteGeometry(header, geometry);
  PYLABHUB_CRASH_POINT("segment.build.geometry_written");
  WriteSchemas(header, config, managed, memory);
  PYLABHUB_CRASH_POINT("segment.build.schema_written");
  WriteSuperblock(memory, segment_id, header_offset);
  return {geometry, memory.data(), header};
}

void PublishData(std::span<std::byte> memory) { PublishSuperblock(memory, kDataMagic); }

absl::StatusOr<DataView> ViewData(std::span<const std::byte> memory) {
  const absl::StatusOr<CheckedSuperblock> superblock =
      CheckSuperblock(memory, kDataMagic, sizeof(DataHeader));
  if (!superblock.ok()) return superblock.status();

  DataView view;
  view.base = memory.data();
  view.header = At<DataHeader>(memory.data(), superblock->header_offset_bytes);
  DataHeader fixed{};
  CopyFixedPart(fixed, *view.header, offsetof(DataHeader, progress));
  absl::StatusOr<ChannelConfig> config = ReadConfig(fixed, memory);
  if (!config.ok()) return config.status();
  view.config = *std::move(config);
  view.geometry = ReadGeometry(fixed);
  if (absl::Status status = view.geometry.Check(view.config, memory.size()); !status.ok()) return status;

  view.schema_hash = HashOf(view.config.schema);
  view.segment_id = superblock->segment_id;
  view.predecessor_id = fixed.predecessor_id;
  view.created = absl::FromUnixNanos(fixed.created_ns);
  view.producer_pid = fixed.producer_pid;
  return view;
}

}  // namespace pylabhub::shm
