#include "client/cli/top.h"

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
#include "client/cli/screen.h"
#include "client/cli/terminal.h"

namespace pylabhub::cli {
namespace {

constexpr absl::Duration kShortestInterval = absl::Milliseconds(1);

constexpr char kHelp[] = R"(
Keys: n s b l m c sort by name, slots, bytes, lag, missed, consumers; q ends. Nobody is disturbed: the counters are read in
the channels' memory. With a broker it shows the channels that the broker knows; below them it says of which there are no
counters, and why: memory on another host, or that the broker hands over to participants alone.

Examples:
  pylabhub top
  pylabhub top --sort lag --every 500ms
  pylabhub top --batch -n 3
  pylabhub top --batch -n 60 --output json > minute.jsonl
)";

struct TopOptions {
  SortKey sort = SortKey::kName;
  absl::Duration every = absl::Seconds(1);
  bool batch = false;
  uint64_t rounds = 0;
  Output output = Output::kText;
  std::string directory = "/dev/shm";
  BrokerOption broker;
};

// Looks again and again, and knows what changed since the last time.
class Monitor {
 public:
  Monitor(std::string directory, Messenger* messenger)
      : directory_(std::move(directory)), messenger_(messenger) {}

  struct Round {
    std::vector<ChannelRow> rows;
    std::vector<nlohmann::ordered_json> objects;
  };

  absl::StatusOr<Round> Look() {
    absl::StatusOr<std::vector<ChannelLook>> looks = LookAtAll(directory_, messenger_);
    if (!looks.ok()) return looks.status();
    Round round;
    std::map<std::string, Sample> now;
    for (ChannelLook& look : *looks) {
      if (!look.memory.ok()) {
        round.rows.push_back(WithoutCounters(look));
        round.objects.push_back(
            {{"channel", look.channel}, {"no_counters", std::string(look.memory.message())}});
        continue;
      }
      const Sample sample{.clock = MonotonicClock(), .metrics = std::move(look.metrics)};
      // The rates of a channel that was not there before are those of the next round.
      const auto before = last_.find(look.channel);
      const Rates rates = RatesBetween(before == last_.end() ? sample : before->second, sample);
      round.rows.push_back(RowOf(look.channel, sample.metrics, rates));
      round.objects.push_back(StatsOf(look.channel, sample, rates));
      now.emplace(look.channel, sample);
    }
    last_ = std::move(now);
    return round;
  }

 private:
  static ChannelRow WithoutCounters(const ChannelLook& look) {
    ChannelRow row{
        .channel = look.channel, .producer = "unknown", .no_counters = std::string(look.memory.message())};
    if (look.entry) {
      row.producer = NameOf(look.entry->state);
      row.pid = look.entry->spec.process.pid;
      row.consumers = look.entry->consumer_count;
    }
    return row;
  }

  std::string directory_;
  Messenger* messenger_;
  std::map<std::string, Sample> last_;
};

ExitCode Batch(Monitor& monitor, const TopOptions& options) {
  if (const auto first = monitor.Look(); !first.ok()) return Fail(first.status());
  for (uint64_t round = 0; options.rounds == 0 || round < options.rounds; ++round) {
    if (!Pause(options.every)) return kInterrupted;
    absl::StatusOr<Monitor::Round> seen = monitor.Look();
    if (!seen.ok()) return Fail(seen.status());
    if (options.output == Output::kJson) {
      for (const nlohmann::ordered_json& object : seen->objects) PrintObject(object);
    } else {
      Sort(options.sort, seen->rows);
      PrintLine(SummaryOf(seen->rows));
      PrintTable(RowsTable(seen->rows));
      for (const std::string& line : WhyNoCounters(seen->rows)) PrintLine(line);
    }
    if (!Flush()) return kDone;
  }
  return kDone;
}

void Draw(Screen& screen, const std::vector<ChannelRow>& rows, SortKey sort) {
  std::vector<std::string> lines = {absl::StrCat("pylabhub top: ", SummaryOf(rows)),
                                    absl::StrCat("sorted by ", NameOf(sort), "; n s b l m c sort, q ends")};
  const size_t titles = lines.size();
  for (std::string& line : RowsTable(rows).Lines()) lines.push_back(std::move(line));
  for (std::string& line : WhyNoCounters(rows)) lines.push_back(std::move(line));
  screen.Show(lines, titles);
}

ExitCode Live(Monitor& monitor, const TopOptions& options) {
  const absl::StatusOr<std::unique_ptr<Screen>> screen = Screen::Open();
  if (!screen.ok()) return Fail(screen.status());
  SortKey sort = options.sort;
  absl::Duration next = MonotonicClock();
  Monitor::Round shown;
  while (!Interrupted()) {
    if (MonotonicClock() >= next) {
      absl::StatusOr<Monitor::Round> seen = monitor.Look();
      if (!seen.ok()) return Fail(seen.status());
      shown = *std::move(seen);
      next = MonotonicClock() + options.every;
    }
    Sort(sort, shown.rows);
    Draw(**screen, shown.rows, sort);
    const char key = (*screen)->Key(std::min(next - MonotonicClock(), kInterruptSlice));
    if (key == 'q') return kDone;
    sort = SortKeyOf(key).value_or(sort);
  }
  return kInterrupted;
}

ExitCode Top(const TopOptions& options) {
  if (options.every < kShortestInterval) {
    return Fail(kBadUsage, "rates need an interval of at least 1ms; say for example --every 1s");
  }
  const absl::StatusOr<BrokerLink> broker = BrokerLink::Connect(options.broker);
  if (!broker.ok()) return Fail(broker.status());
  WatchForInterrupts();
  Monitor monitor(options.directory, broker->messenger());
  return options.batch ? Batch(monitor, options) : Live(monitor, options);
}

}  // namespace

void AddTop(CLI::App& app, Action& chosen) {
  auto options = std::make_shared<TopOptions>();
  CLI::App* verb = app.add_subcommand("top", "All channels, live: rates, lag, missed slots, consumers");
  verb->footer(absl::StrCat(kHelp, "\n", kExitCodeHelp));
  std::map<std::string, SortKey> keys;
  for (const char letter : {'n', 's', 'b', 'l', 'm', 'c'})
    keys.emplace(NameOf(*SortKeyOf(letter)), *SortKeyOf(letter));
  verb->add_option("--sort", options->sort, "What comes first: the largest of this")
      ->transform(OneOf(keys))
      ->type_name("name|slots|bytes|lag|missed|consumers")
      ->default_str("name");
  AddDuration(*verb, "--every", options->every, "How often to look");
  CLI::Option* batch =
      verb->add_flag("--batch", options->batch, "Plain lines, for scripts: no terminal is needed");
  verb->add_option("-n,--count", options->rounds, "With --batch: how often to look; 0 goes on")
      ->type_name("N")
      ->needs(batch)
      ->capture_default_str();
  AddOutput(*verb, options->output)->description("With --batch: table for people, json for programs");
  AddDirectory(*verb, options->directory);
  AddBroker(*verb, options->broker);
  verb->callback([options, &chosen] { chosen = [options] { return Top(*options); }; });
}

}  // namespace pylabhub::cli
