// Sends the slots of a recording into channels again: bit for bit, in the order of their times, at their pace or another.
//
// A replayed slot's payload is the recorded one; its sequence and time stamp are new. Gaps are not replayed, but for the time
// that they took.
//
// Thread safety: belongs to one thread (hdf5.h).
// Ownership:     the Messenger must outlive it.
// Errors:        those of recorded_file.h and of CreateChannel.
#ifndef PYLABHUB_CLIENT_RECORDING_REPLAYER_H_
#define PYLABHUB_CLIENT_RECORDING_REPLAYER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/channel.h"
#include "client/recording/recorded_file.h"

namespace pylabhub::recording {

struct ReplayOptions {
  // Times the recorded pace; infinity: as fast as can be.
  double speed = 1;
  // Which channels; none: all.
  std::vector<std::string> channels = {};
  // Goes before the channels' names.
  std::string prefix = {};
  // Instead of the recorded one.
  std::optional<shm::Policy> policy = std::nullopt;
  // The first slot of each channel waits for so many.
  uint32_t min_consumers = 1;
  absl::Duration timeout = absl::InfiniteDuration();  // how long consumers may keep it waiting
  std::string directory = "/dev/shm";
  MemoryChoice memory = MemoryChoice::kAutomatic;
};

struct ReplayReport {
  uint64_t slots = 0;
  uint64_t payload_bytes = 0;
  uint64_t all_slots = 0;        // in the recording
  absl::Duration recorded_time;  // from its first slot to the one that was sent last
  absl::Duration all_time;
  absl::Duration elapsed;  // since the first slot was sent
};

class Replayer {
 public:
  // Opens the files, which are parts of one recording, and creates the channels.
  //
  // Errors, beside those above: kInvalidArgument (no file, files of different recordings, a part twice, a bad speed),
  //                             kNotFound (a file, or a channel that the recording does not have).
  static absl::StatusOr<std::unique_ptr<Replayer>> Create(const std::vector<std::string>& paths,
                                                          const ReplayOptions& options,
                                                          Messenger* messenger = nullptr);
  ~Replayer();
  Replayer(const Replayer&) = delete;
  Replayer& operator=(const Replayer&) = delete;

  // Sends everything. `goes_on` is asked every 100 ms at the latest; if it says no, kCancelled. Call once.
  //
  // Errors, beside those above: kDeadlineExceeded (no consumer took a slot for `timeout`), kAborted (every consumer left).
  absl::Status Run(const std::function<bool(const ReplayReport&)>& goes_on);

  const ReplayReport& report() const { return report_; }

 private:
  // A channel: where it comes from, in the part that is being replayed, and where it goes to.
  struct Lane {
    std::string group = {};
    ChannelProducer producer = {};
    std::optional<SlotReader> reader = std::nullopt;
  };

  Replayer(std::vector<RecordedFile> files, const ReplayOptions& options);
  absl::Status Plan();
  absl::Status CreateLanes(Messenger* messenger);
  absl::Status OpenPart(const RecordedFile& file);
  absl::Status WaitForConsumers();
  absl::Status ReplayPart();
  absl::StatusOr<Lane*> Earliest();
  absl::Status SendNext(Lane& lane);
  absl::StatusOr<shm::WriteSlot> Acquire(Lane& lane);
  absl::Status WaitUntilDue(int64_t timestamp_ns);
  absl::Status AskWhetherToGoOn();

  const std::vector<RecordedFile> files_;  // by part
  const ReplayOptions options_;
  const std::function<bool(const ReplayReport&)>* goes_on_ = nullptr;
  std::vector<Lane> lanes_;
  std::optional<int64_t> first_timestamp_ns_;
  int64_t last_timestamp_ns_ = 0;
  absl::Time start_time_;
  absl::Time next_look_;
  ReplayReport report_;
};

}  // namespace pylabhub::recording

#endif  // PYLABHUB_CLIENT_RECORDING_REPLAYER_H_
