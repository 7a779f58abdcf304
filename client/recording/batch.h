// Slots on their way from shared memory to the file, many at once.
//
// Thread safety: value types; thread-compatible.
#ifndef PYLABHUB_CLIENT_RECORDING_BATCH_H_
#define PYLABHUB_CLIENT_RECORDING_BATCH_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "client/recording/format.h"
#include "client/recording/record_type.h"
#include "shm/channel_config.h"

namespace pylabhub::recording {

// A channel as a recording describes it.
struct RecordedChannel {
  shm::ChannelConfig config = {};  // the producer's, the channel's name and schema among it
  EnumFields enums = {};           // names of values, where they are known
};

// Some slots of one channel, in order, and what interrupted them.
struct Batch {
  size_t channel = 0;  // its index in the recording
  // first_record is the file's to say; `segment` counts from the start of the recording.
  std::vector<SlotRow> slots = {};
  std::vector<std::byte> records = {};  // whole ones
  std::vector<std::byte> tails = {};
  // before_slot and first_slot count from the batch's first slot. Each segment's number is one more than that of the one
  // before.
  std::vector<GapRow> gaps = {};
  std::vector<SegmentRow> segments = {};

  bool empty() const { return slots.empty() && gaps.empty() && segments.empty(); }
  size_t bytes() const {
    return slots.size() * sizeof(SlotRow) + records.size() + tails.size() + gaps.size() * sizeof(GapRow) +
           segments.size() * sizeof(SegmentRow);
  }
  // Keeps the memory.
  void Clear() {
    slots.clear();
    records.clear();
    tails.clear();
    gaps.clear();
    segments.clear();
  }
};

}  // namespace pylabhub::recording

#endif  // PYLABHUB_CLIENT_RECORDING_BATCH_H_
