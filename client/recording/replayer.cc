#include "client/recording/replayer.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/steady_now.h"

namespace pylabhub::recording {
namespace {

using shm::SlotResult;
using shm::WriteSlot;

constexpr absl::Duration kLook = absl::Milliseconds(100);

absl::StatusOr<std::vector<RecordedFile>> OpenParts(const std::vector<std::string>& paths) {
  if (paths.empty()) return absl::InvalidArgumentError("there is no file to replay; name at least one");
  std::vector<RecordedFile> files;
  for (const std::string& path : paths) {
    absl::StatusOr<RecordedFile> file = RecordedFile::Open(path);
    if (!file.ok()) return file.status();
    files.push_back(*std::move(file));
  }
  std::sort(files.begin(), files.end(),
            [](const RecordedFile& a, const RecordedFile& b) { return a.part() < b.part(); });
  for (size_t i = 1; i < files.size(); ++i) {
    if (files[i].recording_id() != files[0].recording_id()) {
      return absl::InvalidArgumentError(
          absl::StrCat(files[i].path(), " and ", files[0].path(),
                       " are of different recordings; replay one after the other"));
    }
    if (files[i].part() == files[i - 1].part()) {
      return absl::InvalidArgumentError(
          absl::StrCat(files[i].path(), " and ", files[i - 1].path(), " are the same part of a recording"));
    }
  }
  return files;
}

absl::Status CheckOptions(const ReplayOptions& options) {
  if (std::isnan(options.speed) || options.speed <= 0) {
    return absl::InvalidArgumentError("the speed must be more than 0; 2 is twice as fast as it was recorded");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Replayer>> Replayer::Create(const std::vector<std::string>& paths,
                                                           const ReplayOptions& options,
                                                           Messenger* messenger) {
  if (absl::Status status = CheckOptions(options); !status.ok()) return status;
  absl::StatusOr<std::vector<RecordedFile>> files = OpenParts(paths);
  if (!files.ok()) return files.status();
  std::unique_ptr<Replayer> replayer(new Replayer(*std::move(files), options));
  // Before there are channels: a recording that cannot be read disturbs nobody.
  if (absl::Status status = replayer->Plan(); !status.ok()) return status;
  if (absl::Status status = replayer->CreateLanes(messenger); !status.ok()) return status;
  return replayer;
}

Replayer::Replayer(std::vector<RecordedFile> files, const ReplayOptions& options)
    : files_(std::move(files)), options_(options) {}

Replayer::~Replayer() = default;

absl::Status Replayer::Plan() {
  for (const std::string& group : files_[0].groups()) {
    absl::StatusOr<SlotReader> reader = files_[0].OpenChannel(group);
    if (!reader.ok()) return reader.status();
    const bool is_wanted =
        options_.channels.empty() || std::find(options_.channels.begin(), options_.channels.end(),
                                               reader->config().channel) != options_.channels.end();
    if (is_wanted) lanes_.push_back({.group = group});
  }
  if (lanes_.empty() || (!options_.channels.empty() && lanes_.size() != options_.channels.size())) {
    return absl::NotFoundError(absl::StrCat(files_[0].path(),
                                            " does not have all of these channels; `pylabhub replay --list ",
                                            files_[0].path(), "` says which it has"));
  }
  for (const RecordedFile& file : files_) {
    for (const Lane& lane : lanes_) {
      const absl::StatusOr<SlotReader> reader = file.OpenChannel(lane.group);
      if (!reader.ok()) return reader.status();
      report_.all_slots += reader->slots();
      const auto times = reader->Times();
      if (!times.ok()) return times.status();
      if (!times->has_value()) continue;
      first_timestamp_ns_ = std::min(first_timestamp_ns_.value_or((*times)->first), (*times)->first);
      last_timestamp_ns_ = std::max(last_timestamp_ns_, (*times)->second);
    }
  }
  report_.all_time = absl::Nanoseconds(last_timestamp_ns_ - first_timestamp_ns_.value_or(last_timestamp_ns_));
  return absl::OkStatus();
}

absl::Status Replayer::CreateLanes(Messenger* messenger) {
  for (Lane& lane : lanes_) {
    const absl::StatusOr<SlotReader> reader = files_[0].OpenChannel(lane.group);
    if (!reader.ok()) return reader.status();
    shm::ChannelConfig config = reader->config();
    config.channel = options_.prefix + config.channel;
    config.policy = options_.policy.value_or(config.policy);
    if (config.policy != shm::Policy::kPipeline) config.groups.clear();
    config.max_consumers = 0;
    config.min_consumers = options_.min_consumers;
    config.directory = options_.directory;
    absl::StatusOr<ChannelProducer> producer = CreateChannel(config, messenger, {}, options_.memory);
    if (!producer.ok()) return producer.status();
    lane.producer = *std::move(producer);
  }
  return absl::OkStatus();
}

absl::Status Replayer::OpenPart(const RecordedFile& file) {
  for (Lane& lane : lanes_) {
    absl::StatusOr<SlotReader> reader = file.OpenChannel(lane.group);
    if (!reader.ok()) return reader.status();
    if (reader->config().schema != lane.producer.block->config().schema ||
        reader->config().slot_bytes > lane.producer.block->config().slot_bytes) {
      return absl::DataLossError(
          absl::StrCat(file.path(), ": ", lane.group, " is another channel than in ", files_[0].path()));
    }
    lane.reader = *std::move(reader);
  }
  return absl::OkStatus();
}

absl::Status Replayer::Run(const std::function<bool(const ReplayReport&)>& goes_on) {
  goes_on_ = &goes_on;
  next_look_ = SteadyNow();
  if (absl::Status status = WaitForConsumers(); !status.ok()) return status;
  start_time_ = SteadyNow();
  absl::Status status;
  for (const RecordedFile& file : files_) {
    status.Update(OpenPart(file));
    if (status.ok()) status = ReplayPart();
    if (!status.ok()) break;
  }
  report_.elapsed = SteadyNow() - start_time_;
  return status;
}

// Of all channels, before the first slot of any: else the pace would begin while somebody is still waited for.
absl::Status Replayer::WaitForConsumers() {
  for (Lane& lane : lanes_) {
    const absl::StatusOr<WriteSlot> slot = Acquire(lane);
    if (!slot.ok()) return slot.status();
  }
  return absl::OkStatus();
}

absl::Status Replayer::ReplayPart() {
  while (true) {
    const absl::StatusOr<Lane*> lane = Earliest();
    if (!lane.ok()) return lane.status();
    if (*lane == nullptr) return absl::OkStatus();
    if (absl::Status status = SendNext(**lane); !status.ok()) return status;
  }
}

// The channel whose next slot is the oldest; none at the end.
absl::StatusOr<Replayer::Lane*> Replayer::Earliest() {
  Lane* earliest = nullptr;
  int64_t earliest_ns = 0;
  for (Lane& lane : lanes_) {
    if (lane.reader->AtEnd()) continue;
    const absl::StatusOr<SlotRow> row = lane.reader->Peek();
    if (!row.ok()) return row.status();
    if (earliest != nullptr && row->timestamp_ns >= earliest_ns) continue;
    earliest = &lane;
    earliest_ns = row->timestamp_ns;
  }
  return earliest;
}

absl::Status Replayer::SendNext(Lane& lane) {
  const absl::StatusOr<RecordedSlot> recorded = lane.reader->Next();
  if (!recorded.ok()) return recorded.status();
  absl::StatusOr<WriteSlot> slot = Acquire(lane);
  if (!slot.ok()) return slot.status();
  if (absl::Status status = WaitUntilDue(recorded->row.timestamp_ns); !status.ok()) return status;
  std::copy(recorded->payload.begin(), recorded->payload.end(), slot->payload().begin());
  if (const SlotResult result = slot->Commit(recorded->payload.size()); result != SlotResult::kOk) {
    return absl::InternalError(absl::StrCat("commit: ", shm::NameOf(result)));
  }
  report_.slots += 1;
  report_.payload_bytes += recorded->payload.size();
  report_.recorded_time = absl::Nanoseconds(recorded->row.timestamp_ns - *first_timestamp_ns_);
  return AskWhetherToGoOn();
}

absl::StatusOr<WriteSlot> Replayer::Acquire(Lane& lane) {
  shm::DataBlockProducer& producer = *lane.producer.block;
  const bool is_waited_for = shm::IsLossless(producer.config().policy) &&
                             producer.config().policy != shm::Policy::kPipeline && options_.min_consumers > 0;
  absl::Duration left = options_.timeout;
  while (true) {
    const absl::Duration slice = std::min(left, kLook);
    WriteSlot slot = producer.Acquire(slice);
    left -= slice;
    if (slot && is_waited_for && producer.consumer_count() == 0) {
      return absl::AbortedError(absl::StrCat("every consumer of ", producer.config().channel, " left after ",
                                             producer.next_sequence(), " slots; what follows was not sent"));
    }
    if (slot) return slot;
    if (absl::Status status = AskWhetherToGoOn(); !status.ok()) return status;
    if (slot.result() != SlotResult::kTimeout || left <= absl::ZeroDuration()) {
      return absl::DeadlineExceededError(absl::StrCat(
          "no room in ", producer.config().channel, " for ", absl::FormatDuration(options_.timeout), ": ",
          producer.consumer_count(), " of ", options_.min_consumers, " consumers are attached"));
    }
  }
}

absl::Status Replayer::WaitUntilDue(int64_t timestamp_ns) {
  if (std::isinf(options_.speed)) return absl::OkStatus();
  const absl::Time due =
      start_time_ + absl::Nanoseconds(timestamp_ns - *first_timestamp_ns_) / options_.speed;
  while (true) {
    const absl::Duration left = due - SteadyNow();
    if (left <= absl::ZeroDuration()) return absl::OkStatus();
    absl::SleepFor(std::min(left, kLook));
    if (absl::Status status = AskWhetherToGoOn(); !status.ok()) return status;
  }
}

absl::Status Replayer::AskWhetherToGoOn() {
  const absl::Time now = SteadyNow();
  if (now < next_look_) return absl::OkStatus();
  next_look_ = now + kLook;
  report_.elapsed = report_.slots == 0 ? absl::ZeroDuration() : now - start_time_;
  return (*goes_on_)(report_) ? absl::OkStatus() : absl::CancelledError("stopped");
}

}  // namespace pylabhub::recording
