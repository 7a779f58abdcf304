// Records channels into a file, until they end or it is stopped. `pylabhub record` is made of it.
//
//   auto consumer = ConnectChannel("sensor.temperature", absl::Seconds(5));
//   std::vector<ChannelConsumer> channels;
//   channels.push_back(*std::move(consumer));
//   auto recorder = Recorder::Create(std::move(channels), {.file = {.path = "run.h5"}});
//   absl::Status status = (*recorder)->Run([](const RecordingReport&) { return !stop; });
//
// Any channel whatever its C++ type: the records' HDF5 type is made from the schema that the channel carries.
//
// Thread safety: belongs to one thread, the only one that talks to HDF5 (hdf5.h); the channels are read by another of its own.
// Ownership:     a Messenger of the channels must outlive it.
// Errors:        those of recording_writer.h.
#ifndef PYLABHUB_CLIENT_RECORDING_RECORDER_H_
#define PYLABHUB_CLIENT_RECORDING_RECORDER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/channel.h"
#include "client/recording/batch_queue.h"
#include "client/recording/recording_writer.h"
#include "client/recording/slot_collector.h"

namespace pylabhub::recording {

struct RecorderOptions {
  WriterOptions file = {};
  // How often readers see what was written, and what a killed recorder leaves at least. At least 1 ms.
  absl::Duration flush_period = absl::Seconds(1);
  // Slots that wait for the disk. When it is full, producers that wait for their consumers do so, and of others slots are missed.
  uint64_t buffer_bytes = uint64_t{256} << 20;
  // When a producer is gone: how long to wait for the next one.
  absl::Duration follow = absl::ZeroDuration();
  // The names of fields' values, by channel.
  std::map<std::string, EnumFields> enums = {};
};

// What became of one channel so far.
struct ChannelReport {
  std::string channel = {};
  uint64_t slots = 0;
  uint64_t payload_bytes = 0;
  uint64_t missed_slots = 0;                     // not recorded: overwritten too early
  uint64_t corrupt_slots = 0;                    // not recorded: not to be trusted
  uint32_t producers = 0;                        // segments that it had
  GapKind last_gap = GapKind::kRecorderStopped;  // why it ended, once it has
};

struct RecordingReport {
  std::vector<ChannelReport> channels = {};
  std::vector<std::string> paths = {};
  uint64_t file_bytes = 0;
  absl::Duration elapsed;
  double buffer_use = 0;  // 0 to 1

  uint64_t slots() const;
  uint64_t payload_bytes() const;
  // Missed and corrupt ones.
  uint64_t lost_slots() const;
};

class Recorder {
 public:
  // Creates the file. Channels have different names.
  //
  // Errors, beside those above: kInvalidArgument if there is no channel, or one twice.
  static absl::StatusOr<std::unique_ptr<Recorder>> Create(std::vector<ChannelConsumer> channels,
                                                          const RecorderOptions& options);
  ~Recorder();
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  // Records until every channel has ended, or `goes_on` says no: it is asked every 100 ms at the latest. Call once.
  absl::Status Run(const std::function<bool(const RecordingReport&)>& goes_on);

  const RecordingReport& report() const { return report_; }

 private:
  Recorder(std::vector<ChannelConsumer> channels, const RecorderOptions& options,
           std::unique_ptr<RecordingWriter> writer);
  absl::Status WriteUntilItEnds(const std::function<bool(const RecordingReport&)>& goes_on);
  absl::Status Write(Batch batch);
  void Count(const Batch& batch);
  void Measure();

  const RecorderOptions options_;
  std::unique_ptr<RecordingWriter> writer_;
  BatchQueue queue_;
  SlotCollector collector_;
  absl::Time start_time_;
  RecordingReport report_;
};

}  // namespace pylabhub::recording

#endif  // PYLABHUB_CLIENT_RECORDING_RECORDER_H_
