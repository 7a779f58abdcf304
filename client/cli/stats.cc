#include "client/cli/stats.h"

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/broker_option.h"
#include "client/cli/channel_look.h"
#include "client/cli/channel_rows.h"
#include "client/cli/exit_code.h"
#include "client/cli/interrupt.h"
#include "client/cli/metrics_json.h"
#include "client/cli/print.h"
#include "client/cli/rates.h"
#include "client/cli/terminal.h"

namespace pylabhub::cli {
namespace {

constexpr absl::Duration kShortestInterval = absl::Milliseconds(1);

constexpr char kHelp[] = R"(
Looks at the counters in the channels' memory twice, and tells how fast they grew. Nobody is disturbed.

Examples:
  pylabhub stats sensor.temperature
  pylabhub stats camera.left camera.right --interval 5s
  pylabhub stats camera.raw --every 1s --count 60 --output json > minute.jsonl
)";

struct StatsOptions {
  std::vector<std::string> channels;
  Output output = Output::kText;
  absl::Duration interval = absl::Seconds(1);
  absl::Duration every = absl::ZeroDuration();
  uint64_t count = 0;
  std::string directory = "/dev/shm";
  BrokerOption broker;
};

absl::StatusOr<Sample> TakeSample(const std::string& channel, const StatsOptions& options,
                                  Messenger* messenger) {
  absl::StatusOr<ChannelLook> look = LookAt(channel, options.directory, messenger);
  if (!look.ok()) return look.status();
  if (!look->memory.ok()) {
    return absl::Status(look->memory.code(), absl::StrCat(channel, ": ", look->memory.message()));
  }
  return Sample{.clock = MonotonicClock(), .metrics = std::move(look->metrics)};
}

// Looks at every channel, tells what became of each since the last look, and remembers it.
absl::Status Tell(const StatsOptions& options, Messenger* messenger, std::map<std::string, Sample>& last) {
  std::vector<ChannelRow> rows;
  for (const std::string& channel : options.channels) {
    absl::StatusOr<Sample> sample = TakeSample(channel, options, messenger);
    if (!sample.ok()) return sample.status();
    const Rates rates = RatesBetween(last[channel], *sample);
    if (options.output == Output::kJson) {
      PrintObject(StatsOf(channel, *sample, rates));
    } else {
      rows.push_back(RowOf(channel, sample->metrics, rates));
    }
    last[channel] = *std::move(sample);
  }
  if (!rows.empty()) PrintTable(RowsTable(rows));
  return absl::OkStatus();
}

ExitCode Stats(const StatsOptions& options) {
  const bool repeats = options.every > absl::ZeroDuration();
  const absl::Duration interval = repeats ? options.every : options.interval;
  if (interval < kShortestInterval) {
    return Fail(kBadUsage, "rates need an interval of at least 1ms; say for example --interval 1s");
  }
  const absl::StatusOr<BrokerLink> broker = BrokerLink::Connect(options.broker);
  if (!broker.ok()) return Fail(broker.status());
  std::map<std::string, Sample> last;
  for (const std::string& channel : options.channels) {
    absl::StatusOr<Sample> sample = TakeSample(channel, options, broker->messenger());
    if (!sample.ok()) return Fail(sample.status());
    last[channel] = *std::move(sample);
  }
  WatchForInterrupts();
  const uint64_t rounds = repeats ? options.count : 1;
  for (uint64_t round = 0; rounds == 0 || round < rounds; ++round) {
    if (!Pause(interval)) return kInterrupted;
    if (absl::Status status = Tell(options, broker->messenger(), last); !status.ok()) return Fail(status);
    if (!Flush()) return kDone;
  }
  return kDone;
}

}  // namespace

void AddStats(CLI::App& app, Action& chosen) {
  auto options = std::make_shared<StatsOptions>();
  CLI::App* verb = app.add_subcommand("stats", "Counters and rates of channels, once or again and again");
  verb->footer(absl::StrCat(kHelp, "\n", kExitCodeHelp));
  verb->add_option("CHANNEL", options->channels, "Names of channels")->required()->type_name("");
  AddOutput(*verb, options->output);
  CLI::Option* interval = AddDuration(*verb, "--interval", options->interval, "What rates are measured over");
  CLI::Option* every =
      AddDuration(*verb, "--every", options->every, "Tell again and again, each time over so long")
          ->excludes(interval)
          ->default_str("");
  verb->add_option("--count", options->count,
                   "With --every: how often; 0 goes on until the end of the channel")
      ->type_name("N")
      ->needs(every)
      ->capture_default_str();
  AddDirectory(*verb, options->directory);
  AddBroker(*verb, options->broker);
  verb->callback([options, &chosen] { chosen = [options] { return Stats(*options); }; });
}

}  // namespace pylabhub::cli
