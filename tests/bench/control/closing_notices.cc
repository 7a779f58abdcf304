#include "tests/bench/control/closing_notices.h"

#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "client/messenger.h"
#include "tests/bench/control/time_calls.h"

namespace pylabhub::bench {
namespace {

// Fewer than the sessions that the broker holds when they would end at once.
constexpr int kChannels = 8;
// Long enough to register everything before the first one ends.
constexpr std::chrono::seconds kLeaseTtl{2};
constexpr std::chrono::seconds kPatience{30};
constexpr absl::Duration kMessengerPatience = absl::Seconds(30);

// When each channel's closing was told.
class Notices {
 public:
  void Take(const MessengerEvent& event) {
    if (event.kind != MessengerEventKind::kChannelClosing) return;
    const std::lock_guard lock(mutex_);
    times_.emplace(event.channel, Clock::now());
    changed_.notify_all();
  }
  std::optional<Clock::time_point> Await(const std::string& channel) {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, kPatience, [&] { return times_.contains(channel); })) return std::nullopt;
    return times_[channel];
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, Clock::time_point> times_;
};

BrokerProcess::Options WithShortLeases(BrokerProcess::Options options) {
  options.lease_ttl = absl::StrCat(kLeaseTtl.count(), "s");
  return options;
}

}  // namespace

ClosingNotices::ClosingNotices(BrokerProcess::Options options)
    : broker_(WithShortLeases(std::move(options))),
      producers_(broker_.target(), broker_.certificates_folder()) {}

ClosingNotices::~ClosingNotices() = default;

absl::Status ClosingNotices::Measure(const RoundSettings& settings, Recorder& recorder) {
  Notices notices;
  const absl::StatusOr<std::unique_ptr<Messenger>> consumer =
      Messenger::Connect({.address = broker_.target(),
                          .certificates_folder = broker_.certificates_folder(),
                          .messenger = {.on_event = [&](const MessengerEvent& event) { notices.Take(event); },
                                        .watch = WatchScope::Everything()}});
  if (!consumer.ok()) return consumer.status();
  if (!(*consumer)->AwaitDirectory(kMessengerPatience))
    return absl::DeadlineExceededError("the directory did not become fresh");
  std::map<std::string, Clock::time_point> lease_ends;
  for (int i = 0; i < kChannels; ++i) {
    const std::string name = absl::StrCat("closing.", settings.round, ".", i);
    if (absl::Status status = producers_.Register(name, name); !status.ok()) return status;
    lease_ends[name] = Clock::now() + kLeaseTtl;
    if (absl::Status status = producers_.Heartbeat({name}); !status.ok()) return status;
    const absl::StatusOr<Grant> grant = (*consumer)->RegisterConsumer({.channel = name}).get();
    if (!grant.ok()) return grant.status();
  }
  double longest = 0;
  for (const auto& [name, lease_end] : lease_ends) {
    const std::optional<Clock::time_point> told = notices.Await(name);
    if (!told.has_value())
      return absl::DeadlineExceededError(absl::StrCat("nobody told that ", name, " closed"));
    longest = std::max(longest, std::chrono::duration<double, std::nano>(*told - lease_end).count());
  }
  recorder.Add("closing.notice", "pylabhub", "ns", longest);
  return absl::OkStatus();
}

}  // namespace pylabhub::bench
