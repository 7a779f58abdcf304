#include "broker/directory.h"

#include <algorithm>
#include <chrono>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace pylabhub::broker {
namespace {

absl::string_view NameOf(EventKind kind) {
  switch (kind) {
    case EventKind::kChannelPending:
      return "channel_pending";
    case EventKind::kChannelReady:
      return "channel_ready";
    case EventKind::kChannelClosing:
      return "channel_closing";
    case EventKind::kChannelRemoved:
      return "channel_removed";
    case EventKind::kConsumerJoined:
      return "consumer_joined";
    case EventKind::kConsumerLeft:
      return "consumer_left";
    case EventKind::kSchemaChanged:
      return "schema_changed";
  }
  return "unknown";
}

absl::string_view NameOf(CloseReason reason) {
  switch (reason) {
    case CloseReason::kNone:
      return "";
    case CloseReason::kDeregistered:
      return "deregistered";
    case CloseReason::kLeaseExpired:
      return "lease_expired";
    case CloseReason::kReplaced:
      return "replaced";
    case CloseReason::kClosedByAdmin:
      return "closed_by_admin";
    case CloseReason::kRevoked:
      return "revoked";
  }
  return "unknown";
}

LogRecord RecordOf(const Event& event) {
  LogRecord record = {.event = std::string(NameOf(event.kind)),
                      .fields = {{"channel", event.channel.spec->name},
                                 {"epoch", absl::StrCat(event.channel.epoch)},
                                 {"revision", absl::StrCat(event.revision)},
                                 {"producer", event.channel.producer_identity}}};
  if (event.channel.close_reason != CloseReason::kNone) {
    record.fields.emplace_back("reason", NameOf(event.channel.close_reason));
  }
  if (event.consumer != nullptr) {
    record.fields.emplace_back("consumer", event.consumer->identity);
    record.fields.emplace_back("consumer_id", event.consumer->spec.consumer_id);
    record.fields.emplace_back("consumer_count", absl::StrCat(event.channel.consumer_count));
  }
  return record;
}

}  // namespace

Directory::Directory(const RegistryOptions& options, LogHook log, EventSink sink)
    : options_(options),
      log_(std::move(log)),
      sink_(std::move(sink)),
      tick_(options.lease_ttl / 4),
      registry_(options),
      last_awake_(SteadyNow()),
      thread_([this] { ExpireUntilStopped(); }) {}

Directory::~Directory() {
  {
    absl::MutexLock lock(&mutex_);
    stopped_ = true;
  }
  thread_.join();
}

absl::Time Directory::WakeUp() {
  const absl::Time now = SteadyNow();
  const absl::Duration slept = now - last_awake_;
  last_awake_ = now;
  if (slept > 2 * tick_) {
    registry_.GiveBack(slept);
    if (log_) {
      log_({LogLevel::kWarning, "lease_given_back", {{"stood_still", absl::FormatDuration(slept)}}});
    }
  }
  return now;
}

void Directory::Announce(std::vector<Event> events) {
  if (events.empty()) return;
  if (log_) {
    for (const Event& event : events) log_(RecordOf(event));
  }
  if (sink_) sink_(std::move(events));
}

void Directory::ExpireUntilStopped() {
  absl::MutexLock lock(&mutex_);
  while (!stopped_) {
    registry_.Expire(WakeUp());
    Announce(registry_.TakeEvents());
    // A lease that is granted meanwhile lasts longer than a tick, so nothing ends before this wakes up.
    const absl::Duration until_next = registry_.NextExpiry() - last_awake_;
    mutex_.AwaitWithTimeout(absl::Condition(&stopped_), std::clamp(until_next, absl::ZeroDuration(), tick_));
  }
}

absl::Time SteadyNow() {
  using Clock = std::chrono::steady_clock;
  static const absl::Time start_time = absl::Now();
  static const Clock::time_point start = Clock::now();
  return start_time + absl::FromChrono(Clock::now() - start);
}

}  // namespace pylabhub::broker
