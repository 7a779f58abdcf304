// A file of a recording, as it is read: also while it is written, and when its writer was killed.
//
// What it says is input: rows that make no sense are kDataLoss, and the last slots of a killed writer that lack their records
// are left out.
//
// Thread safety: hdf5.h.
// Errors:        hdf5.h; kFailedPrecondition for a file that is no recording, or of another version; kDataLoss.
#ifndef PYLABHUB_CLIENT_RECORDING_RECORDED_FILE_H_
#define PYLABHUB_CLIENT_RECORDING_RECORDED_FILE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/recording/format.h"
#include "client/recording/hdf5.h"
#include "client/recording/table.h"
#include "shm/channel_config.h"

namespace pylabhub::recording {

struct RecordedSlot {
  SlotRow row = {};
  std::span<const std::byte> payload = {};  // valid until the next call
};

// The slots of one channel in one file, from the first to the last.
class SlotReader {
 public:
  static absl::StatusOr<SlotReader> Open(const Hid& file, const std::string& group);

  // As its producer had it; of its members those that format.h keeps.
  const shm::ChannelConfig& config() const { return config_; }
  // Slots in the file.
  uint64_t slots() const { return slot_count_; }
  // True after the last one.
  bool AtEnd() const { return next_slot_ >= slot_count_; }
  // Bytes of whole records in the file.
  uint64_t record_bytes_in_all() const { return records_.rows() * records_.row_bytes(); }

  // The next slot's row, without taking it; there must be one.
  absl::StatusOr<SlotRow> Peek();
  // Takes the next slot; there must be one.
  absl::StatusOr<RecordedSlot> Next();

  absl::StatusOr<std::vector<GapRow>> Gaps() const;
  absl::StatusOr<std::vector<SegmentRow>> Segments() const;
  // The first and the last slot's time; nothing if there is no slot.
  absl::StatusOr<std::optional<std::pair<int64_t, int64_t>>> Times() const;

 private:
  SlotReader(shm::ChannelConfig config, Table records, Table tails, Table segments, Table gaps, Table slots);
  absl::Status CountCompleteSlots();
  uint64_t RecordsIn(const SlotRow& row) const { return row.payload_bytes / records_.row_bytes(); }
  absl::Status CheckRow(const SlotRow& row, uint64_t number) const;
  absl::Status ReadRows();
  absl::Status ReadRecords();

  shm::ChannelConfig config_;
  Table records_;
  Table tails_;
  Table segments_;
  Table gaps_;
  Table slots_;
  uint64_t slot_count_ = 0;
  uint64_t next_slot_ = 0;
  uint64_t next_tail_ = 0;
  // Read ahead: rows [first_row_, ...) and records [first_record_, ...).
  uint64_t first_row_ = 0;
  std::vector<SlotRow> rows_;
  uint64_t first_record_ = 0;
  std::vector<std::byte> record_bytes_;
  std::vector<std::byte> payload_;  // of a slot with a tail
};

class RecordedFile {
 public:
  static absl::StatusOr<RecordedFile> Open(const std::string& path);

  const std::string& path() const { return path_; }
  const std::string& recording_id() const { return recording_id_; }
  uint64_t part() const { return part_; }
  // The groups of its channels, by name.
  const std::vector<std::string>& groups() const { return groups_; }
  absl::StatusOr<SlotReader> OpenChannel(const std::string& group) const;

 private:
  RecordedFile() = default;

  std::string path_;
  std::string recording_id_;
  uint64_t part_ = 0;
  std::vector<std::string> groups_;
  Hid file_;
};

}  // namespace pylabhub::recording

#endif  // PYLABHUB_CLIENT_RECORDING_RECORDED_FILE_H_
