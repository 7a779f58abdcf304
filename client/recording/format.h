// What a recording is made of: the names and rows of its HDF5 file. docs/recording.md draws it.
//
// Each channel is a group of its own name (that of a channel named "." is "%2e"), with these datasets:
//
//   schema    the canonical text of the channel's schema
//   slots     one SlotRow a slot
//   records   the payloads, one record after the other; of an opaque channel one byte after the other
//   tails     the bytes of payloads past their last whole record; empty for any producer that writes whole records
//   gaps      one GapRow for whatever interrupts the slots
//   segments  one SegmentRow for each segment (each producer's life) that the slots came from
//
// Slot i has records[first_record : first_record + payload_bytes / record_bytes], then payload_bytes % record_bytes of
// the tails.
#ifndef PYLABHUB_CLIENT_RECORDING_FORMAT_H_
#define PYLABHUB_CLIENT_RECORDING_FORMAT_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace pylabhub::recording {

inline constexpr uint64_t kFormatVersion = 1;

// Attributes of the file.
inline constexpr char kFormatAttribute[] = "pylabhub_recording";  // kFormatVersion
inline constexpr char kRecordingIdAttribute[] = "recording_id";   // the same in all parts of a recording
inline constexpr char kPartAttribute[] = "part";                  // from 1

// Datasets of a channel's group.
inline constexpr char kSchemaDataset[] = "schema";
inline constexpr char kSlotsDataset[] = "slots";
inline constexpr char kRecordsDataset[] = "records";
inline constexpr char kTailsDataset[] = "tails";
inline constexpr char kGapsDataset[] = "gaps";
inline constexpr char kSegmentsDataset[] = "segments";

struct SlotRow {
  uint64_t sequence = 0;     // in its segment
  int64_t timestamp_ns = 0;  // when it was committed, since the Unix epoch
  uint64_t payload_bytes = 0;
  uint64_t first_record = 0;  // row of `records`
  uint32_t segment = 0;       // row of `segments`
  uint32_t redelivered = 0;   // 1: a member of the recorder's group that died had it before
};

enum class GapKind : uint8_t {
  kMissed = 1,           // slots were overwritten before they could be read
  kCorrupt = 2,          // a slot whose checksum is wrong, or that changed while it was read
  kProducerClosed = 3,   // the segment ended in good order
  kProducerDied = 4,     // the producer died; all that it committed is here
  kCutOff = 5,           // the producer did not wait for the recorder any longer
  kSchemaChanged = 6,    // the next producer has another schema: the recording of this channel ends
  kRecorderStopped = 7,  // the end, as it was asked for; a file without it was not ended in good order
};

// "missed" for kMissed and so on.
absl::string_view NameOf(GapKind kind);
inline constexpr std::array<GapKind, 7> kAllGapKinds = {
    GapKind::kMissed, GapKind::kCorrupt,       GapKind::kProducerClosed,  GapKind::kProducerDied,
    GapKind::kCutOff, GapKind::kSchemaChanged, GapKind::kRecorderStopped,
};

struct GapRow {
  uint64_t before_slot = 0;  // row of `slots` that comes after the gap; the number of rows if none does
  uint64_t missed_slots = 0;
  int64_t noticed_ns = 0;  // by the recorder's clock, since the Unix epoch
  uint32_t segment = 0;    // row of `segments` that the recorder was reading
  GapKind kind = GapKind::kMissed;
};

struct SegmentRow {
  std::array<char, 32> segment_id = {};  // hexadecimal
  uint64_t first_slot = 0;               // row of `slots`
  int64_t attached_ns = 0;               // by the recorder's clock, since the Unix epoch
};

// The group of a channel.
std::string GroupOf(absl::string_view channel);

}  // namespace pylabhub::recording

#endif  // PYLABHUB_CLIENT_RECORDING_FORMAT_H_
