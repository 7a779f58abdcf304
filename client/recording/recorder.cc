#include "client/recording/recorder.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <set>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/steady_now.h"

namespace pylabhub::recording {
namespace {

constexpr absl::Duration kLook = absl::Milliseconds(100);
constexpr absl::Duration kShortestFlushPeriod = absl::Milliseconds(1);

absl::StatusOr<std::vector<RecordedChannel>> Describe(const std::vector<ChannelConsumer>& channels,
                                                      const RecorderOptions& options) {
  if (channels.empty()) return absl::InvalidArgumentError("there is no channel to record; name at least one");
  std::vector<RecordedChannel> described;
  std::set<std::string> names;
  for (const ChannelConsumer& channel : channels) {
    const shm::ChannelConfig& config = channel.block->config();
    if (!names.insert(config.channel).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("channel ", config.channel, " is named twice; once is enough"));
    }
    const auto enums = options.enums.find(config.channel);
    described.push_back(
        {.config = config, .enums = enums == options.enums.end() ? EnumFields() : enums->second});
  }
  return described;
}

}  // namespace

uint64_t RecordingReport::slots() const {
  return std::accumulate(channels.begin(), channels.end(), uint64_t{0},
                         [](uint64_t sum, const ChannelReport& channel) { return sum + channel.slots; });
}

uint64_t RecordingReport::payload_bytes() const {
  return std::accumulate(
      channels.begin(), channels.end(), uint64_t{0},
      [](uint64_t sum, const ChannelReport& channel) { return sum + channel.payload_bytes; });
}

uint64_t RecordingReport::lost_slots() const {
  return std::accumulate(channels.begin(), channels.end(), uint64_t{0},
                         [](uint64_t sum, const ChannelReport& channel) {
                           return sum + channel.missed_slots + channel.corrupt_slots;
                         });
}

absl::StatusOr<std::unique_ptr<Recorder>> Recorder::Create(std::vector<ChannelConsumer> channels,
                                                           const RecorderOptions& options) {
  absl::StatusOr<std::vector<RecordedChannel>> described = Describe(channels, options);
  if (!described.ok()) return described.status();
  absl::StatusOr<std::unique_ptr<RecordingWriter>> writer =
      RecordingWriter::Create(options.file, *std::move(described));
  if (!writer.ok()) return writer.status();
  RecordingReport report;
  for (const ChannelConsumer& channel : channels) {
    report.channels.push_back({.channel = channel.block->config().channel});
  }
  std::unique_ptr<Recorder> recorder(new Recorder(std::move(channels), options, *std::move(writer)));
  recorder->report_ = std::move(report);
  recorder->Measure();
  return recorder;
}

Recorder::Recorder(std::vector<ChannelConsumer> channels, const RecorderOptions& options,
                   std::unique_ptr<RecordingWriter> writer)
    : options_(options),
      writer_(std::move(writer)),
      queue_(options.buffer_bytes),
      collector_(std::move(channels), options.follow, queue_),
      start_time_(SteadyNow()) {}

Recorder::~Recorder() = default;

absl::Status Recorder::Run(const std::function<bool(const RecordingReport&)>& goes_on) {
  start_time_ = SteadyNow();
  std::thread reader([this] { collector_.Run(); });
  absl::Status status = WriteUntilItEnds(goes_on);
  // Whatever was not written now never will be.
  queue_.Abandon();
  collector_.Stop();
  reader.join();
  status.Update(writer_->Close());
  Measure();
  return status;
}

absl::Status Recorder::WriteUntilItEnds(const std::function<bool(const RecordingReport&)>& goes_on) {
  const absl::Duration flush_period = std::max(options_.flush_period, kShortestFlushPeriod);
  absl::Time next_flush = SteadyNow() + flush_period;
  absl::Time next_look = SteadyNow() + kLook;
  while (!queue_.Finished()) {
    std::optional<Batch> batch =
        queue_.Pop(std::min(kLook, std::max(next_flush - SteadyNow(), absl::ZeroDuration())));
    if (batch.has_value()) {
      if (absl::Status status = Write(*std::move(batch)); !status.ok()) return status;
    }
    const absl::Time now = SteadyNow();
    if (now >= next_flush) {
      if (absl::Status status = writer_->Flush(); !status.ok()) return status;
      next_flush = now + flush_period;
    }
    if (now < next_look) continue;
    next_look = now + kLook;
    Measure();
    if (!goes_on(report_)) collector_.Stop();
  }
  return absl::OkStatus();
}

absl::Status Recorder::Write(Batch batch) {
  if (absl::Status status = writer_->Append(batch); !status.ok()) return status;
  Count(batch);
  queue_.Recycle(std::move(batch));
  return absl::OkStatus();
}

void Recorder::Count(const Batch& batch) {
  ChannelReport& report = report_.channels[batch.channel];
  report.slots += batch.slots.size();
  report.payload_bytes += batch.records.size() + batch.tails.size();
  report.producers += static_cast<uint32_t>(batch.segments.size());
  for (const GapRow& gap : batch.gaps) {
    (gap.kind == GapKind::kCorrupt ? report.corrupt_slots : report.missed_slots) += gap.missed_slots;
    report.last_gap = gap.kind;
  }
}

void Recorder::Measure() {
  report_.paths = writer_->paths();
  report_.file_bytes = writer_->file_bytes();
  report_.elapsed = SteadyNow() - start_time_;
  report_.buffer_use = static_cast<double>(queue_.bytes()) / static_cast<double>(queue_.capacity_bytes());
}

}  // namespace pylabhub::recording
