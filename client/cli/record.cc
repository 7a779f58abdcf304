#include "client/cli/record.h"

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/channel.h"
#include "client/cli/broker_option.h"
#include "client/cli/exit_code.h"
#include "client/cli/interrupt.h"
#include "client/cli/progress.h"
#include "client/cli/quantity.h"
#include "client/cli/terminal.h"
#include "client/cli/value_names.h"
#include "client/recording/recorder.h"

namespace pylabhub::cli {
namespace {

using nlohmann::ordered_json;
using recording::ChannelReport;
using recording::GapKind;
using recording::RecordingReport;

constexpr char kHelp[] = R"(
Ends when the producers of all channels closed them or died, after --for, or by Ctrl-C: the file is complete in each
case. Its last line says how much was recorded and what was missed; missed slots make the exit code 8. The file can be
read while it is written.

Examples:
  pylabhub record run.h5 sensor.temperature
  pylabhub record run.h5 sensor.temperature camera.left --for 10m --wait 30s
  pylabhub record night.h5 camera.left --follow inf --rotate-bytes 4GiB
  pylabhub record small.h5 sensor.temperature --compress 4
  pylabhub record arm.h5 robot.state --enums names.json

A line of names.json:
  {"name": "robot.state", "enums": {"mode": {"off": 0, "on": 1}}}
)";

struct RecordOptions {
  std::string file;
  std::vector<std::string> channels;
  recording::RecorderOptions recorder;
  absl::Duration run_time = absl::InfiniteDuration();
  absl::Duration wait = absl::ZeroDuration();
  bool oldest = false;
  std::string group;
  std::string enums_file;
  Output output = Output::kText;
  std::string directory = "/dev/shm";
  BrokerOption broker;
};

absl::StatusOr<ChannelConsumer> Connect(const std::string& channel, const RecordOptions& options,
                                        const BrokerLink& broker) {
  shm::ConsumerOptions consumer_options;
  consumer_options.directory = options.directory;
  // Also of a channel whose consumers jump to the newest slot.
  consumer_options.order = shm::ReadOrder::kNext;
  if (options.oldest) consumer_options.start = shm::JoinPoint::Oldest();
  if (!options.group.empty()) consumer_options.group = options.group;
  absl::StatusOr<ChannelConsumer> consumer =
      ConnectChannel(channel, options.wait, broker.messenger(), consumer_options);
  if (!consumer.ok()) return consumer;
  if (options.group.empty() && !consumer->block->group().empty()) {
    return absl::FailedPreconditionError(absl::StrCat(
        channel, " is a pipeline: what is recorded is taken away from the others of its group; say ",
        "--group ", consumer->block->group(), " if that is meant, or give the recorder a group of its own"));
  }
  if (consumer->block->config().zone_bytes > 0)
    Note(absl::StrCat("the zone of ", channel, " is not recorded, and what is replayed has none"));
  return consumer;
}

std::string EndOf(GapKind kind) {
  switch (kind) {
    case GapKind::kProducerClosed:
      return "closed by its producer";
    case GapKind::kProducerDied:
      return "its producer died";
    case GapKind::kCutOff:
      return "cut off by its producer, which waits for nobody so long";
    case GapKind::kSchemaChanged:
      return "its next producer has another schema";
    default:
      return "stopped";
  }
}

std::string LostText(uint64_t missed_slots, uint64_t corrupt_slots) {
  if (missed_slots + corrupt_slots == 0) return "nothing missed";
  return absl::StrCat("MISSED ", missed_slots, " slots",
                      corrupt_slots == 0 ? "" : absl::StrCat(", ", corrupt_slots, " corrupt"));
}

std::string SummaryText(const RecordingReport& report) {
  std::string text;
  uint64_t missed_slots = 0;
  uint64_t corrupt_slots = 0;
  for (const ChannelReport& channel : report.channels) {
    missed_slots += channel.missed_slots;
    corrupt_slots += channel.corrupt_slots;
    absl::StrAppend(&text, channel.channel, ": ", channel.slots, " slots, ", BytesText(channel.payload_bytes),
                    " of ", channel.producers, " producer(s), ",
                    LostText(channel.missed_slots, channel.corrupt_slots), "; ", EndOf(channel.last_gap),
                    "\n");
  }
  absl::StrAppend(&text, "recorded ", report.slots(), " slots, ", BytesText(report.payload_bytes()), " in ",
                  absl::FormatDuration(absl::Trunc(report.elapsed, absl::Milliseconds(1))), " (",
                  PaceText(report.payload_bytes(), report.elapsed), ") into ", report.paths[0]);
  if (report.paths.size() > 1) absl::StrAppend(&text, " to ", report.paths.back());
  absl::StrAppend(&text, ", ", BytesText(report.file_bytes), "; ", LostText(missed_slots, corrupt_slots));
  return text;
}

ordered_json SummaryJson(const RecordingReport& report) {
  ordered_json channels = ordered_json::array();
  for (const ChannelReport& channel : report.channels) {
    channels.push_back({{"channel", channel.channel},
                        {"slots", channel.slots},
                        {"payload_bytes", channel.payload_bytes},
                        {"missed_slots", channel.missed_slots},
                        {"corrupt_slots", channel.corrupt_slots},
                        {"producers", channel.producers},
                        {"end", NameOf(channel.last_gap)}});
  }
  return {{"channels", std::move(channels)},
          {"files", report.paths},
          {"file_bytes", report.file_bytes},
          {"payload_bytes", report.payload_bytes()},
          {"elapsed_s", absl::ToDoubleSeconds(report.elapsed)}};
}

std::string ProgressText(const RecordingReport& report, absl::Duration run_time) {
  std::string text =
      absl::StrFormat("%d slots  %s  %s  buffer %.0f %%", report.slots(), BytesText(report.payload_bytes()),
                      PaceText(report.payload_bytes(), report.elapsed), report.buffer_use * 100);
  if (report.lost_slots() > 0) absl::StrAppend(&text, "  missed ", report.lost_slots());
  absl::StrAppend(&text, "  ", ClockText(report.elapsed));
  if (run_time != absl::InfiniteDuration())
    absl::StrAppend(&text, ", ", ClockText(run_time - report.elapsed), " left");
  return text;
}

// What was missed goes before how it ended.
ExitCode CodeFor(const RecordingReport& report) {
  if (report.lost_slots() > 0) return kSlotsMissed;
  if (Interrupted()) return kInterrupted;
  for (const ChannelReport& channel : report.channels) {
    if (channel.last_gap == GapKind::kCutOff || channel.last_gap == GapKind::kSchemaChanged) return kFailed;
  }
  for (const ChannelReport& channel : report.channels) {
    if (channel.last_gap == GapKind::kProducerDied) return kProducerDied;
  }
  return kDone;
}

ExitCode Record(const RecordOptions& options) {
  const absl::StatusOr<BrokerLink> broker = BrokerLink::Connect(options.broker);
  if (!broker.ok()) return Fail(broker.status());
  std::vector<ChannelConsumer> channels;
  for (const std::string& name : options.channels) {
    absl::StatusOr<ChannelConsumer> channel = Connect(name, options, *broker);
    if (!channel.ok()) return FailToAttach(channel.status());
    channels.push_back(*std::move(channel));
  }
  absl::StatusOr<NamesByChannel> names = NamesOfValues(channels, options.enums_file, broker->messenger());
  if (!names.ok()) return Fail(names.status());
  WatchForInterrupts();
  recording::RecorderOptions recorder_options = options.recorder;
  recorder_options.file.path = options.file;
  recorder_options.enums = *std::move(names);
  absl::StatusOr<std::unique_ptr<recording::Recorder>> recorder =
      recording::Recorder::Create(std::move(channels), recorder_options);
  if (absl::IsNotFound(recorder.status())) {
    return Fail(kFailed, absl::StrCat(recorder.status().message(), "; make its folder first"));
  }
  if (!recorder.ok()) return Fail(recorder.status());
  Progress progress;
  const absl::Status status = (*recorder)->Run([&](const RecordingReport& report) {
    progress.Show(ProgressText(report, options.run_time));
    return !Interrupted() && report.elapsed < options.run_time;
  });
  progress.Clear();
  const RecordingReport& report = (*recorder)->report();
  std::puts(options.output == Output::kJson ? SummaryJson(report).dump().c_str()
                                            : SummaryText(report).c_str());
  if (!status.ok())
    return Fail(kFailed, absl::StrCat(status.message(), "; what was written before is in the file"));
  return CodeFor(report);
}

void AddFileOptions(CLI::App& verb, recording::RecorderOptions& options) {
  AddBytes(verb, "--rotate-bytes", options.file.rotate_bytes,
           "Begin a new file when one is so large: FILE-0001.h5, FILE-0002.h5; 0: one file");
  AddDuration(verb, "--rotate-time", options.file.rotate_after, "Begin a new file when one is so old");
  verb.add_option("--compress", options.file.compression_level,
                  "Compress by so much, 1 (fast) to 9 (small); 0: not at all, and as fast as the disk")
      ->check(CLI::Range(0, 9).description(""))
      ->type_name("LEVEL")
      ->capture_default_str();
  AddDuration(verb, "--flush", options.flush_period,
              "How often readers see what is new, and the most that is lost if the recorder is killed");
  AddBytes(verb, "--buffer", options.buffer_bytes, "Memory for slots that wait for the disk");
}

}  // namespace

void AddRecord(CLI::App& app, Action& chosen) {
  auto options = std::make_shared<RecordOptions>();
  CLI::App* verb = app.add_subcommand("record", "Record channels into an HDF5 file");
  verb->footer(absl::StrCat(kHelp, "\n", kExitCodeHelp));
  verb->add_option("FILE", options->file, "The file to make; one that is there is never overwritten")
      ->required()
      ->type_name("");
  verb->add_option("CHANNEL", options->channels, "Names of the channels")->required()->type_name("");
  AddDuration(*verb, "--for", options->run_time, "Stop after so long");
  AddDuration(*verb, "--wait", options->wait, "How long to wait for each channel to appear");
  AddDuration(*verb, "--follow", options->recorder.follow,
              "When a producer is gone, how long to wait for the next one of its channel");
  verb->add_flag("--oldest", options->oldest,
                 "Begin with the oldest slot that there is, not with the next one");
  verb->add_option("--group", options->group, "Take the slots of pipelines as a member of this group")
      ->type_name("NAME");
  verb->add_option("--enums", options->enums_file,
                   "File with names of fields' values, as `schema get --output json` prints them; with a "
                   "broker they are "
                   "those of its schema registry")
      ->type_name("FILE");
  AddFileOptions(*verb, options->recorder);
  AddOutput(*verb, options->output);
  AddDirectory(*verb, options->directory);
  AddBroker(*verb, options->broker);
  verb->callback([options, &chosen] { chosen = [options] { return Record(*options); }; });
}

}  // namespace pylabhub::cli
