#include "client/cli/plot.h"

#include <algorithm>
#include <deque>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/channel.h"
#include "client/cli/broker_option.h"
#include "client/cli/exit_code.h"
#include "client/cli/field_value.h"
#include "client/cli/interrupt.h"
#include "client/cli/plot_frame.h"
#include "client/cli/print.h"
#include "client/cli/screen.h"
#include "client/cli/terminal.h"

namespace pylabhub::cli {
namespace {

using shm::ReadSlot;
using shm::SlotResult;

// Between two frames; a person sees no more.
constexpr absl::Duration kFrameInterval = absl::Milliseconds(100);
// Of a fast channel only so many are kept: far more than a terminal has columns.
constexpr size_t kMostPoints = 200'000;

constexpr char kHelp[] = R"(
Always takes the newest slot, so that it never holds the producer up. FIELD is a name of the schema (`describe CHANNEL` shows
it), or a value of an array: position[1]. q ends.

Examples:
  pylabhub plot sensor.temperature celsius
  pylabhub plot stage.xy position[1] --window 1m
  pylabhub plot sensor.temperature celsius --batch --window 5s
)";

struct PlotOptions {
  std::string channel;
  std::string field;
  absl::Duration window = absl::Seconds(10);
  bool batch = false;
  uint64_t count = 0;
  size_t columns = 80;
  size_t rows = 24;
  absl::Duration wait = absl::ZeroDuration();
  std::string directory = "/dev/shm";
  BrokerOption broker;
};

// The points of the window that ends now.
class Plotter {
 public:
  Plotter(ChannelConsumer channel, FieldValue field, const PlotOptions& options)
      : channel_(std::move(channel)), field_(std::move(field)), options_(options) {}

  // Takes what comes until `deadline`, by a monotonic clock, or until the channel ends; then how.
  SlotResult TakeUntil(absl::Duration deadline) {
    while (options_.count == 0 || taken_ < options_.count) {
      const absl::Duration left = deadline - MonotonicClock();
      ReadSlot slot = channel_.block->Acquire(std::clamp(left, absl::ZeroDuration(), kInterruptSlice));
      if (slot) {
        Take(slot);
      } else if (slot.result() != SlotResult::kTimeout) {
        return slot.result();
      }
      if (Interrupted() || MonotonicClock() >= deadline) break;
    }
    return SlotResult::kTimeout;
  }

  bool TookEnough() const { return options_.count > 0 && taken_ >= options_.count; }

  std::vector<std::string> Frame(size_t columns, size_t rows) {
    // The curve ends where time does; of a channel that is read after the fact, where its values do.
    const absl::Time end = points_.empty() ? absl::Now() : std::max(absl::Now(), points_.back().time);
    while (!points_.empty() &&
           (points_.front().time <= end - options_.window || points_.size() > kMostPoints)) {
      points_.pop_front();
    }
    return PlotFrame(points_, end,
                     {.name = options_.field,
                      .unit = field_.unit(),
                      .window = options_.window,
                      .columns = columns,
                      .rows = rows});
  }

 private:
  // Of several records the last.
  void Take(ReadSlot& slot) {
    const size_t record_bytes = channel_.block->schema().record_bytes;
    const size_t records = slot.payload().size() / record_bytes;
    if (records > 0) {
      const absl::Time time = slot.timestamp();
      const double value = field_.Of(slot.payload().subspan((records - 1) * record_bytes));
      // Read whole, or not at all.
      if (slot.Release() == SlotResult::kOk) points_.push_back({.time = time, .value = value});
    }
    ++taken_;
  }

  ChannelConsumer channel_;
  FieldValue field_;
  const PlotOptions& options_;
  std::deque<PlotPoint> points_;
  uint64_t taken_ = 0;
};

ExitCode CodeOf(SlotResult result, const PlotOptions& options) {
  if (result == SlotResult::kProducerClosed) return kDone;
  if (result == SlotResult::kProducerDead) {
    return Fail(kProducerDied, absl::StrCat("the producer of ", options.channel, " died without closing it"));
  }
  return Fail(kFailed, absl::StrCat("reading ", options.channel, ": ", shm::NameOf(result)));
}

// One frame, at the end of a window, of so many slots, or of the channel.
ExitCode Batch(Plotter& plotter, const PlotOptions& options) {
  const SlotResult result = plotter.TakeUntil(MonotonicClock() + options.window);
  if (Interrupted()) return kInterrupted;
  for (const std::string& line : plotter.Frame(options.columns, options.rows)) PrintLine(line);
  return result == SlotResult::kTimeout ? kDone : CodeOf(result, options);
}

ExitCode Live(Plotter& plotter, const PlotOptions& options) {
  SlotResult result = SlotResult::kTimeout;
  {
    const absl::StatusOr<std::unique_ptr<Screen>> screen = Screen::Open();
    if (!screen.ok()) return Fail(screen.status());
    while (result == SlotResult::kTimeout && !plotter.TookEnough()) {
      result = plotter.TakeUntil(MonotonicClock() + kFrameInterval);
      if (Interrupted()) return kInterrupted;
      (*screen)->Show(plotter.Frame((*screen)->columns(), (*screen)->rows()), 0);
      if ((*screen)->Key(absl::ZeroDuration()) == 'q') return kDone;
    }
  }
  // What is said comes after the screen has gone.
  return result == SlotResult::kTimeout ? kDone : CodeOf(result, options);
}

ExitCode Plot(const PlotOptions& options) {
  if (options.window <= absl::ZeroDuration() || options.window == absl::InfiniteDuration()) {
    return Fail(kBadUsage, "--window is how much time the plot shows; say for example --window 10s");
  }
  const absl::StatusOr<BrokerLink> broker = BrokerLink::Connect(options.broker);
  if (!broker.ok()) return Fail(broker.status());
  shm::ConsumerOptions consumer;
  consumer.directory = options.directory;
  consumer.order = shm::ReadOrder::kLatest;
  absl::StatusOr<ChannelConsumer> channel =
      ConnectChannel(options.channel, options.wait, broker->messenger(), consumer);
  if (!channel.ok()) return FailToAttach(channel.status());
  absl::StatusOr<FieldValue> field = FieldValue::Find(channel->block->schema(), options.field);
  if (!field.ok()) return Fail(field.status());
  WatchForInterrupts();
  Plotter plotter(*std::move(channel), *std::move(field), options);
  return options.batch ? Batch(plotter, options) : Live(plotter, options);
}

}  // namespace

void AddPlot(CLI::App& app, Action& chosen) {
  auto options = std::make_shared<PlotOptions>();
  CLI::App* verb = app.add_subcommand("plot", "A number of a channel, live, as a curve in the terminal");
  verb->footer(absl::StrCat(kHelp, "\n", kExitCodeHelp));
  AddChannel(*verb, options->channel);
  verb->add_option("FIELD", options->field, "Which number of the schema")->required()->type_name("");
  AddDuration(*verb, "--window", options->window, "How much time is shown");
  CLI::Option* batch = verb->add_flag("--batch", options->batch,
                                      "Write one frame, after a window or --count slots, as plain lines");
  verb->add_option("--count", options->count, "Stop after so many slots; 0 never stops")
      ->type_name("N")
      ->capture_default_str();
  verb->add_option("--columns", options->columns, "With --batch: how wide")
      ->check(CLI::Range(kLeastColumns, size_t{1000}).description(""))
      ->type_name("N")
      ->needs(batch)
      ->capture_default_str();
  verb->add_option("--rows", options->rows, "With --batch: how high")
      ->check(CLI::Range(kLeastRows, size_t{1000}).description(""))
      ->type_name("N")
      ->needs(batch)
      ->capture_default_str();
  AddDuration(*verb, "--wait", options->wait, "How long to wait for the channel to appear");
  AddDirectory(*verb, options->directory);
  AddBroker(*verb, options->broker);
  verb->callback([options, &chosen] { chosen = [options] { return Plot(*options); }; });
}

}  // namespace pylabhub::cli
