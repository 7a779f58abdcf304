#include "client/recording/channel_table.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "shm/schema.h"

namespace pylabhub::recording {
namespace {

using shm::ChannelConfig;
using shm::Field;

constexpr uint64_t kSlotsInChunk = 1024;
constexpr uint64_t kRareRowsInChunk = 64;
constexpr uint64_t kTailBytesInChunk = 4096;
// A chunk of records holds about so many slots, within these bounds; a record is never split.
constexpr uint64_t kChunkSlots = 16;
constexpr uint64_t kSmallestChunkBytes = uint64_t{64} << 10;
constexpr uint64_t kLargestChunkBytes = uint64_t{1} << 20;

uint64_t RecordsInChunk(const ChannelConfig& config) {
  const uint64_t record_bytes = std::max<uint64_t>(config.schema.record_bytes, 1);
  const uint64_t chunk_bytes = std::clamp(std::min(config.slot_bytes, kLargestChunkBytes) * kChunkSlots,
                                          kSmallestChunkBytes, kLargestChunkBytes);
  return std::max<uint64_t>(chunk_bytes / record_bytes, 1);
}

absl::Status Describe(const Hid& group, const ChannelConfig& config) {
  for (const auto& [name, text] : std::initializer_list<std::pair<const char*, std::string>>{
           {"channel", config.channel},
           {"policy", std::string(shm::NameOf(config.policy))},
           {"groups", absl::StrJoin(config.groups, ",")},
           {"schema_name", config.schema.name},
           {"schema_hash", shm::ToHex(shm::HashOf(config.schema))}}) {
    if (absl::Status status = WriteAttribute(group, name, text); !status.ok()) return status;
  }
  for (const auto& [name, number] : std::initializer_list<std::pair<const char*, uint64_t>>{
           {"capacity_slots", config.capacity_slots},
           {"slot_bytes", config.slot_bytes},
           {"record_bytes", config.schema.record_bytes},
           {"checksum", static_cast<uint64_t>(config.checksum)}}) {
    if (absl::Status status = WriteAttribute(group, name, number); !status.ok()) return status;
  }
  return absl::OkStatus();
}

// A dataset rather than an attribute: it may be longer than 64 KiB.
absl::Status WriteSchema(const Hid& group, const shm::Schema& schema) {
  const std::string text = shm::CanonicalText(schema);
  const absl::StatusOr<Hid> type = TextType(text.size());
  if (!type.ok()) return type.status();
  const absl::StatusOr<Hid> space = Own(H5Screate(H5S_SCALAR), "creating schema");
  if (!space.ok()) return space.status();
  const absl::StatusOr<Hid> dataset = Own(H5Dcreate2(group.get(), kSchemaDataset, type->get(), space->get(),
                                                     H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT),
                                          "creating schema");
  if (!dataset.ok()) return dataset.status();
  return Check(H5Dwrite(dataset->get(), type->get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, text.data()),
               "writing schema");
}

absl::Status WriteUnits(const Hid& group, const shm::Schema& schema) {
  const absl::StatusOr<Hid> records =
      Own(H5Dopen2(group.get(), kRecordsDataset, H5P_DEFAULT), "opening records");
  if (!records.ok()) return records.status();
  for (const Field& field : schema.fields) {
    if (field.unit.empty()) continue;
    absl::Status status = WriteAttribute(*records, absl::StrCat("unit.", field.name), field.unit);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status CreateTables(const Hid& group, const RecordedChannel& channel, int compression_level) {
  const TableShape record_shape = {.chunk_rows = RecordsInChunk(channel.config),
                                   .compression_level = compression_level};
  const TableShape slot_shape = {.chunk_rows = kSlotsInChunk, .compression_level = compression_level};
  struct Kind {
    const char* name;
    absl::StatusOr<Hid> row_type;
    TableShape shape;
  };
  const std::initializer_list<Kind> kinds = {
      {kRecordsDataset, RecordType(channel.config.schema, channel.enums), record_shape},
      {kTailsDataset, RecordType(shm::Schema::Opaque()), {.chunk_rows = kTailBytesInChunk}},
      {kSegmentsDataset, SegmentRowType(), {.chunk_rows = kRareRowsInChunk}},
      {kGapsDataset, GapRowType(), {.chunk_rows = kRareRowsInChunk}},
      {kSlotsDataset, SlotRowType(), slot_shape},
  };
  for (const Kind& kind : kinds) {
    if (!kind.row_type.ok()) return kind.row_type.status();
    absl::Status status = Table::Create(group, kind.name, *kind.row_type, kind.shape);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ChannelTable::Create(const Hid& file, const RecordedChannel& channel, int compression_level) {
  const std::string name = GroupOf(channel.config.channel);
  const absl::StatusOr<Hid> group =
      Own(H5Gcreate2(file.get(), name.c_str(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT),
          absl::StrCat("creating ", name));
  if (!group.ok()) return group.status();
  if (absl::Status status = Describe(*group, channel.config); !status.ok()) return status;
  if (absl::Status status = WriteSchema(*group, channel.config.schema); !status.ok()) return status;
  if (absl::Status status = CreateTables(*group, channel, compression_level); !status.ok()) return status;
  return WriteUnits(*group, channel.config.schema);
}

ChannelTable::ChannelTable(uint32_t first_segment, Table records, Table tails, Table segments, Table gaps,
                           Table slots)
    : first_segment_(first_segment),
      records_(std::move(records)),
      tails_(std::move(tails)),
      segments_(std::move(segments)),
      gaps_(std::move(gaps)),
      slots_(std::move(slots)) {}

absl::StatusOr<ChannelTable> ChannelTable::Open(const Hid& file, const RecordedChannel& channel,
                                                uint32_t first_segment) {
  const std::string name = GroupOf(channel.config.channel);
  const absl::StatusOr<Hid> group =
      Own(H5Gopen2(file.get(), name.c_str(), H5P_DEFAULT), absl::StrCat("opening ", name));
  if (!group.ok()) return group.status();
  absl::StatusOr<Table> records = Table::Open(*group, kRecordsDataset);
  absl::StatusOr<Table> tails = Table::Open(*group, kTailsDataset);
  absl::StatusOr<Table> segments = Table::Open(*group, kSegmentsDataset);
  absl::StatusOr<Table> gaps = Table::Open(*group, kGapsDataset);
  absl::StatusOr<Table> slots = Table::Open(*group, kSlotsDataset);
  for (const auto* table : {&records, &tails, &segments, &gaps, &slots}) {
    if (!table->ok()) return table->status();
  }
  return ChannelTable(first_segment, *std::move(records), *std::move(tails), *std::move(segments),
                      *std::move(gaps), *std::move(slots));
}

absl::Status ChannelTable::Append(Batch& batch) {
  const uint64_t record_bytes = records_.row_bytes();
  uint64_t record = records_.rows();
  for (SlotRow& slot : batch.slots) {
    slot.first_record = record;
    slot.segment -= first_segment_;
    record += slot.payload_bytes / record_bytes;
  }
  for (GapRow& gap : batch.gaps) {
    gap.before_slot += slots_.rows();
    gap.segment -= first_segment_;
  }
  for (SegmentRow& segment : batch.segments) segment.first_slot += slots_.rows();
  absl::Status status = records_.Append(batch.records.data(), batch.records.size() / record_bytes);
  status.Update(tails_.Append(batch.tails.data(), batch.tails.size()));
  status.Update(segments_.Append(batch.segments.data(), batch.segments.size()));
  // Not without its records, and an end not without all slots before it.
  if (status.ok()) status = slots_.Append(batch.slots.data(), batch.slots.size());
  if (status.ok()) status = gaps_.Append(batch.gaps.data(), batch.gaps.size());
  return status;
}

absl::Status ChannelTable::Flush() {
  for (Table* table : {&records_, &tails_, &segments_, &slots_, &gaps_}) {
    if (absl::Status status = table->Flush(); !status.ok()) return status;
  }
  return absl::OkStatus();
}

void ChannelTable::Abandon() {
  for (Table* table : {&records_, &tails_, &segments_, &slots_, &gaps_}) table->Abandon();
}

}  // namespace pylabhub::recording
