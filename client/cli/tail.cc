#include "client/cli/tail.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "client/channel.h"
#include "client/cli/broker_option.h"
#include "client/cli/exit_code.h"
#include "client/cli/interrupt.h"
#include "client/cli/print.h"
#include "client/cli/quantity.h"
#include "client/cli/rate_meter.h"
#include "client/cli/slot_printer.h"
#include "client/cli/terminal.h"
#include "client/steady_now.h"

namespace pylabhub::cli {
namespace {

using shm::ReadSlot;
using shm::SlotResult;

constexpr char kHelp[] = R"(
Ends when the producer closes the channel (exit code 0) or dies (4), after all that it sent was shown.

Examples:
  pylabhub tail sensor.temperature
  pylabhub tail sensor.temperature --output json | jq .records[0].celsius
  pylabhub tail camera.raw --raw > frames.bin
  pylabhub tail sensor.temperature --latest --count 1 --timeout 5s
  pylabhub tail jobs --group archive
  pylabhub tail sensor.temperature --fields celsius --every 1s
  pylabhub tail camera.raw --rate
)";

struct TailOptions {
  std::string channel;
  Output output = Output::kText;
  bool raw = false;
  bool latest = false;
  std::string group;
  std::vector<std::string> fields;
  absl::Duration every = absl::ZeroDuration();
  bool rate = false;
  uint64_t count = 0;
  absl::Duration timeout = absl::InfiniteDuration();
  absl::Duration wait = absl::ZeroDuration();
  std::string directory = "/dev/shm";
  BrokerOption broker;
};

absl::StatusOr<ChannelConsumer> Connect(const TailOptions& options, const BrokerLink& broker) {
  shm::ConsumerOptions consumer_options;
  consumer_options.directory = options.directory;
  if (options.latest) consumer_options.order = shm::ReadOrder::kLatest;
  if (!options.group.empty()) consumer_options.group = options.group;
  return ConnectChannel(options.channel, options.wait, broker.messenger(), consumer_options);
}

// The schema with these of its fields alone, in the order in which they are wanted; all, if none is named.
absl::StatusOr<shm::Schema> SchemaOf(const shm::Schema& schema, const std::vector<std::string>& fields) {
  if (fields.empty()) return schema;
  shm::Schema chosen = schema;
  chosen.fields.clear();
  for (const std::string& name : fields) {
    const auto has_name = [&](const shm::Field& field) { return field.name == name; };
    const auto found = std::find_if(schema.fields.begin(), schema.fields.end(), has_name);
    if (found == schema.fields.end()) {
      const auto name_of = [](std::string* out, const shm::Field& field) {
        absl::StrAppend(out, field.name);
      };
      return absl::InvalidArgumentError(absl::StrCat(
          "--fields: the channel has no field '", name, "'; it has ",
          schema.fields.empty() ? "none: its slots are bytes" : absl::StrJoin(schema.fields, ", ", name_of)));
    }
    chosen.fields.push_back(*found);
  }
  return chosen;
}

// Shows slots until the channel ends; knows nothing of command lines.
class Tail {
 public:
  Tail(ChannelConsumer channel, const shm::Schema& shown, const TailOptions& options)
      : channel_(std::move(channel)),
        options_(options),
        printer_(ShapeOf(options), shown),
        meter_(options.every > absl::ZeroDuration() ? options.every : absl::Seconds(1), MonotonicClock()) {}

  ExitCode Run() {
    const ExitCode code = ShowSlots();
    const absl::Status status = printer_.Flush();
    return status.ok() || absl::IsCancelled(status) ? code : Fail(status);
  }

 private:
  static Shape ShapeOf(const TailOptions& options) {
    if (options.raw) return Shape::kRaw;
    return options.output == Output::kJson ? Shape::kJson : Shape::kText;
  }

  ExitCode ShowSlots() {
    while (options_.count == 0 || shown_ < options_.count) {
      ReadSlot slot = AcquireSlot();
      if (slot.result() == SlotResult::kProducerClosed && GoesOn()) continue;
      if (!slot) return WhyNoSlot(slot.result());
      absl::Status status = Show(slot);
      if (absl::IsCancelled(status)) return kDone;
      if (!status.ok()) return Fail(status);
      if (slot.Release() != SlotResult::kOk) {
        return Fail(
            kFailed,
            absl::StrCat("the last slot shown changed while it was read, which no correct producer does; ",
                         "do not trust it"));
      }
    }
    return kDone;
  }

  absl::Status Show(const ReadSlot& slot) {
    if (options_.rate) {
      meter_.Add(slot.payload().size(), slot.missed_slots());
      return TellRate();
    }
    const absl::Duration now =
        options_.every > absl::ZeroDuration() ? MonotonicClock() : absl::ZeroDuration();
    if (now < next_show_) {
      passed_over_ += 1 + slot.missed_slots();
      return absl::OkStatus();
    }
    next_show_ = now + options_.every;
    ++shown_;
    return printer_.Print(slot, std::exchange(passed_over_, 0));
  }

  // With --rate: what came, once an interval.
  absl::Status TellRate() {
    const std::optional<IntakeRate> rate = meter_.Take(MonotonicClock());
    if (!rate) return absl::OkStatus();
    ++shown_;
    if (options_.output == Output::kJson) {
      PrintObject({{"channel", options_.channel},
                   {"time_ns", absl::GetCurrentTimeNanos()},
                   {"interval_ns", absl::ToInt64Nanoseconds(rate->interval)},
                   {"slots", rate->slots},
                   {"payload_bytes", rate->payload_bytes},
                   {"missed_slots", rate->missed_slots},
                   {"slots_per_second", rate->slots_per_second},
                   {"bytes_per_second", rate->bytes_per_second},
                   {"missed_slots_per_second", rate->missed_slots_per_second}});
    } else {
      PrintLine(absl::StrCat(RateText(rate->slots_per_second), " slots/s  ",
                             ByteRateText(rate->bytes_per_second), "  missed ", rate->missed_slots));
    }
    return printer_.Flush();
  }

  // Whether that was all that was wanted, or nobody reads what is shown, while there was nothing to read.
  bool EndedWhileIdle() {
    if (!options_.rate) return false;
    idle_status_ = TellRate();
    return !idle_status_.ok() || (options_.count > 0 && shown_ >= options_.count);
  }

  ReadSlot AcquireSlot() {
    if (Interrupted()) return channel_.block->Acquire(absl::ZeroDuration());
    ReadSlot ready = channel_.block->Acquire(absl::ZeroDuration());
    if (ready || ready.result() != SlotResult::kTimeout) return ready;
    // What was held back is shown before a wait. If that fails, the next Print says so.
    printer_.Flush().IgnoreError();
    absl::Duration left = options_.timeout;
    while (true) {
      const absl::Duration slice = std::min(left, kInterruptSlice);
      ReadSlot slot = channel_.block->Acquire(slice);
      left -= slice;
      if (slot || slot.result() != SlotResult::kTimeout || left <= absl::ZeroDuration() || Interrupted() ||
          EndedWhileIdle()) {
        return slot;
      }
    }
  }

  // Whether the producer has only moved on to fresh memory, since somebody lost the right to it; then that is shown next.
  bool GoesOn() {
    if (!channel_.is_handed_over()) return false;
    constexpr absl::Duration kGrace = absl::Seconds(2);
    constexpr absl::Duration kPause = absl::Milliseconds(20);
    // By the clock: asking takes its time too, when the broker is away.
    const absl::Time deadline = SteadyNow() + kGrace;
    while (SteadyNow() < deadline) {
      const absl::StatusOr<Channel> found =
          channel_.link.messenger->DiscoverProducer(options_.channel, absl::ZeroDuration());
      if (!found.ok() || Interrupted()) return false;
      if (found->spec.segment_id != channel_.block->segment_id().bytes) return Follow(channel_, kGrace).ok();
      absl::SleepFor(kPause);
    }
    return false;
  }

  ExitCode WhyNoSlot(SlotResult result) const {
    switch (result) {
      case SlotResult::kProducerClosed:
        return kDone;
      case SlotResult::kProducerDead:
        return Fail(kProducerDied, absl::StrCat("the producer of ", options_.channel,
                                                " died without closing it; all that it sent was shown"));
      case SlotResult::kTimeout:
        if (Interrupted()) return kInterrupted;
        if (!idle_status_.ok()) return absl::IsCancelled(idle_status_) ? kDone : Fail(idle_status_);
        if (options_.count > 0 && shown_ >= options_.count) return kDone;
        return Fail(kTimedOut, absl::StrCat("nothing came on ", options_.channel, " for ",
                                            absl::FormatDuration(options_.timeout)));
      default:
        return Fail(kFailed, absl::StrCat("reading ", options_.channel, ": ", shm::NameOf(result)));
    }
  }

  ChannelConsumer channel_;
  const TailOptions& options_;
  SlotPrinter printer_;
  RateMeter meter_;
  uint64_t shown_ = 0;        // slots, or lines of --rate
  uint64_t passed_over_ = 0;  // slots since the last one shown
  absl::Duration next_show_ = absl::ZeroDuration();
  absl::Status idle_status_;
};

ExitCode RunTail(const TailOptions& options) {
  const absl::StatusOr<BrokerLink> broker = BrokerLink::Connect(options.broker);
  if (!broker.ok()) return Fail(broker.status());
  // Until it is connected there is nothing to undo, and Ctrl-C simply ends the process.
  absl::StatusOr<ChannelConsumer> channel = Connect(options, *broker);
  if (!channel.ok()) return FailToAttach(channel.status());
  const absl::StatusOr<shm::Schema> shown = SchemaOf(channel->block->schema(), options.fields);
  if (!shown.ok()) return Fail(shown.status());
  WatchForInterrupts();
  return Tail(*std::move(channel), *shown, options).Run();
}

}  // namespace

void AddTail(CLI::App& app, Action& chosen) {
  auto options = std::make_shared<TailOptions>();
  CLI::App* verb = app.add_subcommand("tail", "Show what flows through a channel");
  verb->footer(absl::StrCat(kHelp, "\n", kExitCodeHelp));
  AddChannel(*verb, options->channel);
  CLI::Option* output = AddOutput(*verb, options->output)->type_name("text|json")->default_str("text");
  CLI::Option* raw =
      verb->add_flag("--raw", options->raw, "Write the payload's bytes to standard output, and nothing else")
          ->excludes(output);
  CLI::Option* fields =
      verb->add_option("--fields", options->fields, "Show these fields alone: celsius,timestamp_ns")
          ->delimiter(',')
          ->type_name("NAME,...")
          ->excludes(raw);
  AddDuration(*verb, "--every", options->every,
              "Show one slot each time; those between are read and counted as missed")
      ->default_str("");
  verb->add_flag("--rate", options->rate,
                 "Show how much comes, once a second or as --every says, instead of what")
      ->excludes(raw)
      ->excludes(fields);
  CLI::Option* latest =
      verb->add_flag("--latest", options->latest,
                     "Always the newest slot, skipping those in between; never holds the producer up");
  verb->add_option(
          "--group", options->group,
          "Share the slots of a pipeline with the others in this group; not needed if it has one group")
      ->type_name("NAME")
      ->excludes(latest);
  verb->add_option("--count", options->count, "Stop after so many slots (lines, with --rate); 0 never stops")
      ->type_name("N")
      ->capture_default_str();
  AddDuration(*verb, "--timeout", options->timeout, "Give up when nothing comes for so long");
  AddDuration(*verb, "--wait", options->wait, "How long to wait for the channel to appear");
  AddDirectory(*verb, options->directory);
  AddBroker(*verb, options->broker);
  verb->callback([options, &chosen] { chosen = [options] { return RunTail(*options); }; });
}

}  // namespace pylabhub::cli
