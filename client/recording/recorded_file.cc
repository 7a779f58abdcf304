#include "client/recording/recorded_file.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/recording/record_type.h"

namespace pylabhub::recording {
namespace {

constexpr uint64_t kRowsAtOnce = 1024;
constexpr uint64_t kRecordBytesAtOnce = uint64_t{4} << 20;
// What no recording has more of.
constexpr size_t kMostSchemaBytes = size_t{4} << 20;
constexpr uint64_t kMostRareRows = uint64_t{1} << 24;
constexpr uint64_t kMostIncompleteSlots = uint64_t{1} << 20;

absl::StatusOr<shm::Schema> ReadSchema(const Hid& group) {
  const absl::StatusOr<Hid> dataset =
      Own(H5Dopen2(group.get(), kSchemaDataset, H5P_DEFAULT), "opening schema");
  if (!dataset.ok()) return dataset.status();
  const absl::StatusOr<Hid> type = Own(H5Dget_type(dataset->get()), "reading schema");
  if (!type.ok()) return type.status();
  const absl::StatusOr<Hid> space = Own(H5Dget_space(dataset->get()), "reading schema");
  if (!space.ok()) return space.status();
  if (H5Tget_class(type->get()) != H5T_STRING || H5Tis_variable_str(type->get()) != 0 ||
      H5Sget_simple_extent_npoints(space->get()) != 1 || H5Tget_size(type->get()) > kMostSchemaBytes) {
    return absl::DataLossError("reading schema: it is not one text of a schema's size");
  }
  std::string text(H5Tget_size(type->get()), '\0');
  if (absl::Status status = Check(
          H5Dread(dataset->get(), type->get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, text.data()), "reading schema");
      !status.ok()) {
    return status;
  }
  return shm::ParseCanonicalText(text);
}

// Its attributes that `config` needs.
absl::StatusOr<shm::ChannelConfig> ReadConfig(const Hid& group) {
  const absl::StatusOr<std::string> channel = ReadText(group, "channel");
  if (!channel.ok()) return channel.status();
  const absl::StatusOr<std::string> policy = ReadText(group, "policy");
  if (!policy.ok()) return policy.status();
  const absl::StatusOr<std::string> groups = ReadText(group, "groups");
  if (!groups.ok()) return groups.status();
  const absl::StatusOr<uint64_t> capacity_slots = ReadNumber(group, "capacity_slots");
  if (!capacity_slots.ok()) return capacity_slots.status();
  const absl::StatusOr<uint64_t> slot_bytes = ReadNumber(group, "slot_bytes");
  if (!slot_bytes.ok()) return slot_bytes.status();
  const absl::StatusOr<uint64_t> checksum = ReadNumber(group, "checksum");
  if (!checksum.ok()) return checksum.status();
  absl::StatusOr<shm::Schema> schema = ReadSchema(group);
  if (!schema.ok()) return schema.status();
  const std::optional<shm::Policy> known = shm::PolicyFromName(*policy);
  if (!known.has_value()) return absl::DataLossError(absl::StrCat("there is no policy '", *policy, "'"));
  shm::ChannelConfig config = {
      .channel = *channel,
      .policy = *known,
      .buffering = *capacity_slots == 1 ? shm::Buffering::kSingle : shm::Buffering::kRingBuffer,
      .capacity_slots = static_cast<uint32_t>(*capacity_slots),
      .slot_bytes = *slot_bytes,
      .schema = *std::move(schema),
      .checksum = static_cast<shm::Checksum>(*checksum)};
  if (!groups->empty()) config.groups = absl::StrSplit(*groups, ',');
  config = config.WithDefaults();
  if (absl::Status status = config.Validate(); !status.ok()) return status;
  return config;
}

absl::Status CheckRows(const Table& table, const absl::StatusOr<Hid>& type) {
  if (!type.ok()) return type.status();
  if (H5Tequal(table.row_type().get(), type->get()) > 0) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(table.name(), " has other columns than a recording's"));
}

template <typename Row>
absl::StatusOr<std::vector<Row>> ReadAll(const Table& table) {
  if (table.rows() > kMostRareRows) {
    return absl::DataLossError(absl::StrCat(table.name(), " has ", table.rows(), " rows, which cannot be"));
  }
  std::vector<Row> rows(table.rows());
  if (absl::Status status = table.Read(0, rows.size(), rows.data()); !status.ok()) return status;
  return rows;
}

absl::Status Prefixed(const absl::Status& status, absl::string_view prefix) {
  if (status.ok()) return status;
  return {status.code(), absl::StrCat(prefix, ": ", status.message())};
}

absl::StatusOr<std::vector<std::string>> GroupsIn(const Hid& file) {
  H5G_info_t info;
  if (H5Gget_info(file.get(), &info) < 0) return Hdf5Error("listing channels");
  std::vector<std::string> groups;
  for (hsize_t i = 0; i < info.nlinks; ++i) {
    std::array<char, 256> name = {};
    if (H5Lget_name_by_idx(file.get(), ".", H5_INDEX_NAME, H5_ITER_INC, i, name.data(), name.size(),
                           H5P_DEFAULT) < 0) {
      return Hdf5Error("listing channels");
    }
    groups.emplace_back(name.data());
  }
  return groups;
}

}  // namespace

SlotReader::SlotReader(shm::ChannelConfig config, Table records, Table tails, Table segments, Table gaps,
                       Table slots)
    : config_(std::move(config)),
      records_(std::move(records)),
      tails_(std::move(tails)),
      segments_(std::move(segments)),
      gaps_(std::move(gaps)),
      slots_(std::move(slots)) {}

absl::StatusOr<SlotReader> SlotReader::Open(const Hid& file, const std::string& group_name) {
  const absl::StatusOr<Hid> group =
      Own(H5Gopen2(file.get(), group_name.c_str(), H5P_DEFAULT), absl::StrCat("opening ", group_name));
  if (!group.ok()) return group.status();
  absl::StatusOr<shm::ChannelConfig> config = ReadConfig(*group);
  if (!config.ok()) return Prefixed(config.status(), group_name);
  // The slots first: what they refer to is there by then, if the file is being written.
  absl::StatusOr<Table> slots = Table::Open(*group, kSlotsDataset);
  absl::StatusOr<Table> gaps = Table::Open(*group, kGapsDataset);
  absl::StatusOr<Table> segments = Table::Open(*group, kSegmentsDataset);
  absl::StatusOr<Table> tails = Table::Open(*group, kTailsDataset);
  absl::StatusOr<Table> records = Table::Open(*group, kRecordsDataset);
  for (const auto* table : {&records, &tails, &segments, &gaps, &slots}) {
    if (!table->ok()) return Prefixed(table->status(), group_name);
  }
  SlotReader reader(*std::move(config), *std::move(records), *std::move(tails), *std::move(segments),
                    *std::move(gaps), *std::move(slots));
  if (absl::Status status = reader.CountCompleteSlots(); !status.ok()) return Prefixed(status, group_name);
  return reader;
}

absl::Status SlotReader::CountCompleteSlots() {
  absl::Status status = CheckRows(slots_, SlotRowType());
  status.Update(CheckRows(gaps_, GapRowType()));
  status.Update(CheckRows(segments_, SegmentRowType()));
  if (!status.ok()) return status;
  if (records_.row_bytes() != std::max<uint64_t>(config_.schema.record_bytes, 1) || tails_.row_bytes() != 1) {
    return absl::DataLossError("its records have another size than its schema says");
  }
  for (slot_count_ = slots_.rows(); slot_count_ > 0; --slot_count_) {
    SlotRow last;
    if (status = slots_.Read(slot_count_ - 1, 1, &last); !status.ok()) return status;
    if (last.first_record <= records_.rows() && RecordsIn(last) <= records_.rows() - last.first_record) break;
    if (slots_.rows() - slot_count_ > kMostIncompleteSlots) {
      return absl::DataLossError("its last slots refer to records that are not there");
    }
  }
  return absl::OkStatus();
}

absl::Status SlotReader::CheckRow(const SlotRow& row, uint64_t number) const {
  const uint64_t tail_bytes = row.payload_bytes % records_.row_bytes();
  if (row.payload_bytes <= config_.slot_bytes && row.first_record <= records_.rows() &&
      RecordsIn(row) <= records_.rows() - row.first_record && tail_bytes <= tails_.rows() - next_tail_) {
    return absl::OkStatus();
  }
  return absl::DataLossError(
      absl::StrCat(config_.channel, ": slot ", number, " of the file refers to records that are not there"));
}

absl::Status SlotReader::ReadRows() {
  if (next_slot_ >= first_row_ && next_slot_ - first_row_ < rows_.size()) return absl::OkStatus();
  first_row_ = next_slot_;
  rows_.resize(std::min(kRowsAtOnce, slot_count_ - next_slot_));
  return slots_.Read(first_row_, rows_.size(), rows_.data());
}

// Those of the next slot, and of as many after it as may be read at once.
absl::Status SlotReader::ReadRecords() {
  const SlotRow& row = rows_[next_slot_ - first_row_];
  const uint64_t end = row.first_record + RecordsIn(row);
  const uint64_t read_end = first_record_ + record_bytes_.size() / records_.row_bytes();
  if (row.first_record >= first_record_ && end <= read_end) return absl::OkStatus();
  const uint64_t at_once = std::max(kRecordBytesAtOnce / records_.row_bytes(), end - row.first_record);
  first_record_ = row.first_record;
  const uint64_t count = std::min(at_once, records_.rows() - first_record_);
  record_bytes_.resize(count * records_.row_bytes());
  return records_.Read(first_record_, count, record_bytes_.data());
}

absl::StatusOr<SlotRow> SlotReader::Peek() {
  if (absl::Status status = ReadRows(); !status.ok()) return status;
  return rows_[next_slot_ - first_row_];
}

absl::StatusOr<RecordedSlot> SlotReader::Next() {
  const absl::StatusOr<SlotRow> row = Peek();
  if (!row.ok()) return row.status();
  if (absl::Status status = CheckRow(*row, next_slot_); !status.ok()) return status;
  if (absl::Status status = ReadRecords(); !status.ok()) return status;
  const uint64_t record_bytes = records_.row_bytes();
  RecordedSlot slot = {.row = *row,
                       .payload = std::span(record_bytes_)
                                      .subspan((row->first_record - first_record_) * record_bytes,
                                               RecordsIn(*row) * record_bytes)};
  next_slot_ += 1;
  const uint64_t tail_bytes = row->payload_bytes % record_bytes;
  if (tail_bytes == 0) return slot;
  payload_.assign(slot.payload.begin(), slot.payload.end());
  payload_.resize(row->payload_bytes);
  absl::Status status = tails_.Read(next_tail_, tail_bytes, payload_.data() + slot.payload.size());
  if (!status.ok()) return status;
  next_tail_ += tail_bytes;
  slot.payload = payload_;
  return slot;
}

absl::StatusOr<std::vector<GapRow>> SlotReader::Gaps() const { return ReadAll<GapRow>(gaps_); }

absl::StatusOr<std::vector<SegmentRow>> SlotReader::Segments() const {
  return ReadAll<SegmentRow>(segments_);
}

absl::StatusOr<std::optional<std::pair<int64_t, int64_t>>> SlotReader::Times() const {
  if (slot_count_ == 0) return std::nullopt;
  SlotRow first;
  SlotRow last;
  absl::Status status = slots_.Read(0, 1, &first);
  status.Update(slots_.Read(slot_count_ - 1, 1, &last));
  if (!status.ok()) return status;
  return std::pair(first.timestamp_ns, last.timestamp_ns);
}

absl::StatusOr<RecordedFile> RecordedFile::Open(const std::string& path) {
  SilenceHdf5();
  RecordedFile opened;
  opened.path_ = path;
  absl::StatusOr<Hid> file = Own(H5Fopen(path.c_str(), H5F_ACC_RDONLY | H5F_ACC_SWMR_READ, H5P_DEFAULT),
                                 absl::StrCat("opening ", path));
  // One that another program wrote anew may be of a format that knows no SWMR.
  if (!file.ok() && !absl::IsNotFound(file.status())) {
    file = Own(H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), absl::StrCat("opening ", path));
  }
  if (!file.ok() && H5Fis_hdf5(path.c_str()) == 0) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, " is no HDF5 file; a recording is what `pylabhub record` writes"));
  }
  if (!file.ok()) return file.status();
  opened.file_ = *std::move(file);
  const absl::StatusOr<uint64_t> version = ReadNumber(opened.file_, kFormatAttribute);
  if (!version.ok()) {
    return absl::FailedPreconditionError(absl::StrCat(path, " is no recording of pylabhub record"));
  }
  if (*version != kFormatVersion) {
    return absl::FailedPreconditionError(absl::StrCat(
        path, " has version ", *version, " of the format; this program reads version ", kFormatVersion));
  }
  const absl::StatusOr<std::string> recording_id = ReadText(opened.file_, kRecordingIdAttribute);
  if (!recording_id.ok()) return Prefixed(recording_id.status(), path);
  const absl::StatusOr<uint64_t> part = ReadNumber(opened.file_, kPartAttribute);
  if (!part.ok()) return Prefixed(part.status(), path);
  absl::StatusOr<std::vector<std::string>> groups = GroupsIn(opened.file_);
  if (!groups.ok()) return Prefixed(groups.status(), path);
  opened.recording_id_ = *recording_id;
  opened.part_ = *part;
  opened.groups_ = *std::move(groups);
  return opened;
}

absl::StatusOr<SlotReader> RecordedFile::OpenChannel(const std::string& group) const {
  absl::StatusOr<SlotReader> reader = SlotReader::Open(file_, group);
  if (!reader.ok()) return Prefixed(reader.status(), path_);
  return reader;
}

}  // namespace pylabhub::recording
