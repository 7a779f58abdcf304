#include "client/cli/tail.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/channel.h"
#include "client/cli/broker_option.h"
#include "client/cli/exit_code.h"
#include "client/cli/interrupt.h"
#include "client/cli/slot_printer.h"
#include "client/cli/terminal.h"

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
)";

struct TailOptions {
  std::string channel;
  Output output = Output::kText;
  bool raw = false;
  bool latest = false;
  std::string group;
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

// Shows slots until the channel ends; knows nothing of command lines.
class Tail {
 public:
  Tail(ChannelConsumer channel, const TailOptions& options)
      : channel_(std::move(channel)),
        options_(options),
        printer_(ShapeOf(options), channel_.block->schema()) {}

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
    for (uint64_t shown = 0; options_.count == 0 || shown < options_.count; ++shown) {
      ReadSlot slot = AcquireSlot();
      if (slot.result() == SlotResult::kProducerClosed && GoesOn()) {
        --shown;
        continue;
      }
      if (!slot) return WhyNoSlot(slot.result());
      absl::Status status = printer_.Print(slot);
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
      if (slot || slot.result() != SlotResult::kTimeout || left <= absl::ZeroDuration() || Interrupted())
        return slot;
    }
  }

  // Whether the producer has only moved on to fresh memory, since somebody lost the right to it; then that is shown next.
  bool GoesOn() {
    if (!channel_.is_handed_over()) return false;
    constexpr absl::Duration kGrace = absl::Seconds(2);
    constexpr absl::Duration kPause = absl::Milliseconds(20);
    for (absl::Duration waited; waited < kGrace; waited += kPause) {
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
        return Fail(kTimedOut, absl::StrCat("nothing came on ", options_.channel, " for ",
                                            absl::FormatDuration(options_.timeout)));
      default:
        return Fail(kFailed, absl::StrCat("reading ", options_.channel, ": ", shm::NameOf(result)));
    }
  }

  ChannelConsumer channel_;
  const TailOptions& options_;
  SlotPrinter printer_;
};

ExitCode RunTail(const TailOptions& options) {
  const absl::StatusOr<BrokerLink> broker = BrokerLink::Connect(options.broker);
  if (!broker.ok()) return Fail(broker.status());
  // Until it is connected there is nothing to undo, and Ctrl-C simply ends the process.
  absl::StatusOr<ChannelConsumer> channel = Connect(options, *broker);
  if (absl::IsNotFound(channel.status())) {
    return Fail(kNotFound,
                absl::StrCat(channel.status().message(),
                             "; `pylabhub channels` lists those that there are, --wait 10s waits for it"));
  }
  if (!channel.ok()) return Fail(channel.status());
  WatchForInterrupts();
  return Tail(*std::move(channel), options).Run();
}

}  // namespace

void AddTail(CLI::App& app, Action& chosen) {
  auto options = std::make_shared<TailOptions>();
  CLI::App* verb = app.add_subcommand("tail", "Show what flows through a channel");
  verb->footer(absl::StrCat(kHelp, "\n", kExitCodeHelp));
  AddChannel(*verb, options->channel);
  CLI::Option* output = AddOutput(*verb, options->output);
  verb->add_flag("--raw", options->raw, "Write the payload's bytes to standard output, and nothing else")
      ->excludes(output);
  CLI::Option* latest =
      verb->add_flag("--latest", options->latest,
                     "Always the newest slot, skipping those in between; never holds the producer up");
  verb->add_option(
          "--group", options->group,
          "Share the slots of a pipeline with the others in this group; not needed if it has one group")
      ->type_name("NAME")
      ->excludes(latest);
  verb->add_option("--count", options->count, "Stop after so many slots; 0 never stops")
      ->type_name("N")
      ->capture_default_str();
  AddDuration(*verb, "--timeout", options->timeout, "Give up when nothing comes for so long");
  AddDuration(*verb, "--wait", options->wait, "How long to wait for the channel to appear");
  AddDirectory(*verb, options->directory);
  AddBroker(*verb, options->broker);
  verb->callback([options, &chosen] { chosen = [options] { return RunTail(*options); }; });
}

}  // namespace pylabhub::cli
