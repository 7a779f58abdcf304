#include "client/cli/publisher.h"

#include <algorithm>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/interrupt.h"
#include "client/cli/progress.h"
#include "client/cli/quantity.h"
#include "client/cli/terminal.h"

namespace pylabhub::cli {
namespace {

using shm::SlotResult;
using shm::WriteSlot;

class Publisher {
 public:
  Publisher(PayloadSource& source, ChannelProducer& channel, const BrokerLink& broker, absl::Duration timeout)
      : source_(source),
        producer_(*channel.block),
        config_(producer_.config()),
        broker_(broker),
        timeout_(timeout) {}

  ExitCode Run() {
    while (true) {
      WriteSlot slot = AcquireSlot();
      if (!slot) return WhyNoSlot();
      if (EveryConsumerLeft()) {
        return Stop(kConsumersLeft, absl::StrCat("every consumer of ", config_.channel, " left after ",
                                                 Sent(), "; what follows was not sent"));
      }
      if (broker_.RegistrationLost()) {
        return Stop(kFailed, absl::StrCat("another producer took ", config_.channel, " over after ", Sent()));
      }
      const absl::StatusOr<size_t> payload_bytes = source_.Fill(slot.payload());
      if (absl::IsCancelled(payload_bytes.status())) return kInterrupted;
      if (!payload_bytes.ok()) {
        progress_.Clear();
        return Fail(payload_bytes.status());
      }
      if (*payload_bytes == 0) return kDone;
      const SlotResult result = slot.Commit(*payload_bytes);
      if (result != SlotResult::kOk) return Stop(kFailed, absl::StrCat("commit: ", shm::NameOf(result)));
      ShowProgress();
    }
  }

 private:
  ExitCode Stop(ExitCode code, const std::string& why) {
    progress_.Clear();
    return Fail(code, why);
  }

  // Waits in slices, so that Ctrl-C is heard.
  WriteSlot AcquireSlot() {
    absl::Duration left = timeout_;
    while (true) {
      const absl::Duration slice = std::min(left, kInterruptSlice);
      WriteSlot slot = producer_.Acquire(slice);
      left -= slice;
      if (slot || slot.result() != SlotResult::kTimeout || left <= absl::ZeroDuration() || Interrupted())
        return slot;
      SayOnceThatItWaits();
      ShowProgress();
    }
  }

  ExitCode WhyNoSlot() {
    if (Interrupted()) return kInterrupted;
    if (producer_.next_sequence() == 0) {
      return Stop(kTimedOut, absl::StrCat(producer_.consumer_count(), " of ", config_.min_consumers,
                                          " consumers attached to ", config_.channel, " within ",
                                          absl::FormatDuration(timeout_)));
    }
    return Stop(kTimedOut, absl::StrCat("the consumers of ", config_.channel, " freed no slot for ",
                                        absl::FormatDuration(timeout_), "; sent ", Sent()));
  }

  void SayOnceThatItWaits() {
    if (said_that_it_waits_ || producer_.next_sequence() != 0) return;
    said_that_it_waits_ = true;
    Note(
        absl::StrCat("waiting for ", config_.min_consumers, " consumer(s): pylabhub tail ", config_.channel));
  }

  // From the first slot on. Who types the input sees what was sent.
  void ShowProgress() {
    const absl::Duration now = MonotonicClock();
    if (producer_.next_sequence() == 0 || source_.input().is_terminal()) return;
    if (start_ == absl::InfiniteDuration()) start_ = next_look_ = now;
    if (now < next_look_) return;
    next_look_ = now + kInterruptSlice;
    progress_.Show(ProgressText(now - start_));
  }

  std::string ProgressText(absl::Duration elapsed) const {
    const shm::ProducerStats stats = producer_.Stats();
    std::string text =
        absl::StrFormat("%d slots  %s  %s  ", stats.committed_slots, BytesText(stats.committed_bytes),
                        PaceText(stats.committed_bytes, elapsed));
    const std::optional<uint64_t> all_bytes = source_.input().file_bytes();
    if (!all_bytes.has_value() || *all_bytes == 0) return absl::StrCat(text, ClockText(elapsed));
    // A file may have grown meanwhile.
    const double done =
        std::min(static_cast<double>(source_.input().read_bytes()) / static_cast<double>(*all_bytes), 1.0);
    return absl::StrCat(text, absl::StrFormat("%.0f %%  ", 100 * done), ClockText(elapsed * (1 / done - 1)),
                        " left");
  }

  // The slots of a pipeline wait for the next consumer.
  bool EveryConsumerLeft() const {
    return config_.policy != shm::Policy::kPipeline && config_.min_consumers > 0 &&
           producer_.consumer_count() == 0;
  }

  std::string Sent() const {
    const shm::ProducerStats stats = producer_.Stats();
    return absl::StrCat(stats.committed_bytes, " bytes in ", stats.committed_slots, " slots");
  }

  PayloadSource& source_;
  shm::DataBlockProducer& producer_;
  const shm::ChannelConfig& config_;
  const BrokerLink& broker_;
  const absl::Duration timeout_;
  bool said_that_it_waits_ = false;
  absl::Duration start_ = absl::InfiniteDuration();
  absl::Duration next_look_ = absl::ZeroDuration();
  Progress progress_;
};

}  // namespace

ExitCode SendAll(PayloadSource& source, ChannelProducer& channel, const BrokerLink& broker,
                 absl::Duration timeout) {
  return Publisher(source, channel, broker, timeout).Run();
}

}  // namespace pylabhub::cli
