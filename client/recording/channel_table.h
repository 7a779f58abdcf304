// One channel's group in one file of a recording, as it is written.
//
// Thread safety: hdf5.h.
#ifndef PYLABHUB_CLIENT_RECORDING_CHANNEL_TABLE_H_
#define PYLABHUB_CLIENT_RECORDING_CHANNEL_TABLE_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/recording/batch.h"
#include "client/recording/hdf5.h"
#include "client/recording/table.h"

namespace pylabhub::recording {

class ChannelTable {
 public:
  // Adds the group with its attributes and empty datasets. Nothing can be added once readers may follow.
  static absl::Status Create(const Hid& file, const RecordedChannel& channel, int compression_level);

  // To write to it. `first_segment` is the number in the recording of the first segment that it will have.
  static absl::StatusOr<ChannelTable> Open(const Hid& file, const RecordedChannel& channel,
                                           uint32_t first_segment);

  // Its numbers become those of this file.
  absl::Status Append(Batch& batch);
  // A slot is seen after its records, and a gap after the slots before it.
  absl::Status Flush();
  void Abandon();

 private:
  ChannelTable(uint32_t first_segment, Table records, Table tails, Table segments, Table gaps, Table slots);

  uint32_t first_segment_;
  Table records_;
  Table tails_;
  Table segments_;
  Table gaps_;
  Table slots_;
};

}  // namespace pylabhub::recording

#endif  // PYLABHUB_CLIENT_RECORDING_CHANNEL_TABLE_H_
