#include "client/cli/replay.h"

#include <cstdio>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/channel.h"
#include "client/cli/broker_option.h"
#include "client/cli/exit_code.h"
#include "client/cli/interrupt.h"
#include "client/cli/progress.h"
#include "client/cli/quantity.h"
#include "client/cli/recording_list.h"
#include "client/cli/terminal.h"
#include "client/recording/replayer.h"

namespace pylabhub::cli {
namespace {

using recording::ReplayReport;

constexpr char kHelp[] = R"(
Channels get the names, schemas and policies that they had; replayed slots are equal bit for bit, and come in the order
of their times. Several files are parts of one recording. A consumer that must get every slot of a channel whose
producer waited for nobody needs --policy sync_reader.

Examples:
  pylabhub replay --list run.h5
  pylabhub replay run.h5
  pylabhub replay run.h5 --speed 2 --prefix again.
  pylabhub replay night-*.h5 --channel camera.left --speed max --policy sync_reader
)";

struct Options {
  std::vector<std::string> files;
  bool list = false;
  recording::ReplayOptions replay;
  Output output = Output::kText;
  BrokerOption broker;
};

// At a pace, by the recorded times; as fast as can be, by the slots.
absl::Duration TimeLeft(const ReplayReport& report, double speed) {
  if (report.slots == 0) return absl::InfiniteDuration();
  if (speed != std::numeric_limits<double>::infinity())
    return (report.all_time - report.recorded_time) / speed;
  const auto done = static_cast<double>(report.slots) / static_cast<double>(report.all_slots);
  return report.elapsed * (1 / done - 1);
}

std::string ProgressText(const ReplayReport& report, double speed) {
  if (report.slots == 0) return "waiting for consumers";
  return absl::StrFormat("%d of %d slots  %s  %s  %s left", report.slots, report.all_slots,
                         BytesText(report.payload_bytes), PaceText(report.payload_bytes, report.elapsed),
                         ClockText(TimeLeft(report, speed)));
}

std::string SummaryText(const ReplayReport& report) {
  return absl::StrCat("replayed ", report.slots, " of ", report.all_slots, " slots, ",
                      BytesText(report.payload_bytes), " in ",
                      absl::FormatDuration(absl::Trunc(report.elapsed, absl::Milliseconds(1))), " (",
                      PaceText(report.payload_bytes, report.elapsed), "), recorded in ",
                      absl::FormatDuration(absl::Trunc(report.recorded_time, absl::Milliseconds(1))));
}

std::string SummaryJson(const ReplayReport& report) {
  return nlohmann::ordered_json{{"slots", report.slots},
                                {"all_slots", report.all_slots},
                                {"payload_bytes", report.payload_bytes},
                                {"elapsed_s", absl::ToDoubleSeconds(report.elapsed)},
                                {"recorded_s", absl::ToDoubleSeconds(report.recorded_time)}}
      .dump();
}

ExitCode CodeFor(const absl::Status& status) {
  if (status.ok()) return kDone;
  if (absl::IsCancelled(status) && Interrupted()) return kInterrupted;
  if (absl::IsAborted(status)) return Fail(kConsumersLeft, status.message());
  return Fail(status);
}

ExitCode Replay(const Options& options) {
  if (options.list) {
    const absl::Status status = ListRecording(options.files, options.output);
    return status.ok() ? kDone : Fail(status);
  }
  const absl::StatusOr<BrokerLink> broker = BrokerLink::Connect(options.broker);
  if (!broker.ok()) return Fail(broker.status());
  WatchForInterrupts();
  absl::StatusOr<std::unique_ptr<recording::Replayer>> replayer =
      recording::Replayer::Create(options.files, options.replay, broker->messenger());
  if (!replayer.ok()) return Fail(replayer.status());
  Progress progress;
  const absl::Status status = (*replayer)->Run([&](const ReplayReport& report) {
    progress.Show(ProgressText(report, options.replay.speed));
    return !Interrupted() && !broker->RegistrationLost();
  });
  progress.Clear();
  if (broker->RegistrationLost()) return Fail(kFailed, "another producer took a channel over");
  const ReplayReport& report = (*replayer)->report();
  std::puts((options.output == Output::kJson ? SummaryJson(report) : SummaryText(report)).c_str());
  return CodeFor(status);
}

void AddSpeed(CLI::App& verb, double& speed) {
  verb.add_option_function<std::string>(
          "--speed",
          [&speed](const std::string& text) {
            if (text == "max") {
              speed = std::numeric_limits<double>::infinity();
            } else if (!absl::SimpleAtod(text, &speed) || !(speed > 0)) {
              throw CLI::ValidationError("--speed", "'" + text + "' is no speed; say 1, 2, 0.5 or max");
            }
          },
          "Times the recorded pace; max: as fast as the consumers go")
      ->type_name("FACTOR")
      ->default_str("1");
}

void AddPolicy(CLI::App& verb, std::optional<shm::Policy>& policy) {
  verb.add_option_function<std::string>(
          "--policy",
          [&policy](const std::string& text) {
            policy = shm::PolicyFromName(text);
            if (!policy.has_value()) {
              throw CLI::ValidationError("--policy",
                                         "'" + text +
                                             "' is no policy; say latest_only, publish_subscribe, "
                                             "single_reader, sync_reader or pipeline");
            }
          },
          "Instead of the recorded one; sync_reader: nothing is lost, every consumer gets every slot")
      ->type_name("POLICY");
}

}  // namespace

void AddReplay(CLI::App& app, Action& chosen) {
  auto options = std::make_shared<Options>();
  recording::ReplayOptions& replay = options->replay;
  CLI::App* verb = app.add_subcommand("replay", "Send a recording into channels again, bit for bit");
  verb->footer(absl::StrCat(kHelp, "\n", kExitCodeHelp));
  verb->add_option("FILE", options->files, "The recording: its file, or its parts")
      ->required()
      ->type_name("");
  verb->add_flag("--list", options->list, "Say what is in the files, and end");
  verb->add_option("--channel", replay.channels, "Only this channel; may be given several times")
      ->type_name("NAME")
      ->allow_extra_args(false);
  AddSpeed(*verb, replay.speed);
  verb->add_option("--prefix", replay.prefix, "Goes before the names of the channels")->type_name("TEXT");
  AddPolicy(*verb, replay.policy);
  verb->add_option("--consumers", replay.min_consumers,
                   "Wait for so many of each channel before the first slot; 0 waits for nobody")
      ->type_name("N")
      ->capture_default_str();
  AddDuration(*verb, "--timeout", replay.timeout, "Give up when consumers keep it waiting for so long");
  AddOutput(*verb, options->output);
  AddDirectory(*verb, replay.directory);
  AddBroker(*verb, options->broker);
  verb->callback([options, &chosen] { chosen = [options] { return Replay(*options); }; });
}

}  // namespace pylabhub::cli
