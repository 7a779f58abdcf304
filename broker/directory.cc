#include "broker/directory.h"

#include <algorithm>
#include <chrono>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "broker/steady_wait.h"
#include "broker/store/history.h"
#include "broker/store/records.h"
#include "proto/names/close_reason_word.h"

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

absl::string_view NameOf(LeaveReason reason) {
  switch (reason) {
    case LeaveReason::kNone:
      return "";
    case LeaveReason::kDeregistered:
      return "deregistered";
    case LeaveReason::kLeaseExpired:
      return "lease_expired";
    case LeaveReason::kChannelRemoved:
      return "channel_removed";
    case LeaveReason::kRevoked:
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
    record.fields.emplace_back("reason", names::CloseReasonWord(event.channel.close_reason));
  }
  if (event.consumer != nullptr) {
    record.fields.emplace_back("consumer", event.consumer->identity);
    record.fields.emplace_back("consumer_id", event.consumer->spec.consumer_id);
    record.fields.emplace_back("consumer_count", absl::StrCat(event.channel.consumer_count));
  }
  if (event.leave_reason != LeaveReason::kNone) {
    record.fields.emplace_back("left", NameOf(event.leave_reason));
  }
  return record;
}

}  // namespace

Directory::Directory(const RegistryOptions& options, LogHook log, EventSink sink, DirectoryKeep keep)
    : options_(options),
      log_(std::move(log)),
      sink_(std::move(sink)),
      tick_(options.lease_ttl / 4),
      history_id_(keep.history.history_id),
      commit_({.store = std::move(keep.store),
               .damage = std::move(keep.damage),
               .encode = ToRow,
               .on_durable = [this](std::vector<Event> events) { Announce(std::move(events)); },
               .log = log_}),
      registry_(options),
      history_(std::move(keep.history)),
      last_awake_(SteadyNow()) {
  registry_.Restore(std::move(keep.state), last_awake_);
  if (!keep.history_is_kept) commit_.Wait(commit_.Add({{kHistoryKey, history_}}, {})).IgnoreError();
  thread_ = std::thread([this] { ExpireUntilStopped(); });
}

Directory::~Directory() {
  {
    absl::MutexLock lock(&mutex_);
    stopped_ = true;
  }
  stopping_.notify_all();
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

std::optional<Directory::Ticket> Directory::HandOver() {
  LogHeldSessions();
  std::vector<Change> changes = registry_.TakeChanges();
  std::vector<Event> events = registry_.TakeEvents();
  if (changes.empty() && events.empty()) return std::nullopt;
  if (ReserveNumbers(history_, registry_.last_epoch(), registry_.revision())) {
    changes.push_back({kHistoryKey, history_});
  }
  return commit_.Add(std::move(changes), std::move(events));
}

void Directory::LogHeldSessions() {
  const uint64_t held = registry_.held_session_count() - logged_held_count_;
  if (held == 0) return;
  logged_held_count_ += held;
  if (!log_) return;
  log_({LogLevel::kError,
        "mass_expiry_held",
        {{"sessions", absl::StrCat(held)},
         {"of", absl::StrCat(registry_.session_count())},
         {"held_for", absl::FormatDuration(options_.lease_ttl)},
         {"message",
          "most sessions fell silent at once, so they are held for one lease more; is this broker's network "
          "down?"}}});
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
    if (HandOver().has_value()) commit_.CommitSoon();
    // A lease that is granted meanwhile lasts longer than a tick, so nothing ends before this wakes up.
    const absl::Duration until_next = registry_.NextExpiry() - last_awake_;
    AwaitSteadily(mutex_, stopping_, std::clamp(until_next, absl::ZeroDuration(), tick_),
                  [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopped_; });
  }
}

absl::Time SteadyNow() {
  using Clock = std::chrono::steady_clock;
  static const absl::Time start_time = absl::Now();
  static const Clock::time_point start = Clock::now();
  return start_time + absl::FromChrono(Clock::now() - start);
}

}  // namespace pylabhub::broker
