#include "client/lease_keeper.h"

#include <algorithm>
#include <chrono>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/steady_now.h"

namespace pylabhub {
namespace {

constexpr absl::Duration kFirstRetry = absl::Milliseconds(50);
constexpr absl::Duration kRetryLimit = absl::Seconds(2);
constexpr absl::Duration kMinInterval = absl::Milliseconds(10);

std::chrono::steady_clock::time_point ToSteady(absl::Time time) {
  // Far enough in the future to be never, and near enough not to overflow.
  const absl::Time limit = SteadyNow() + absl::Hours(24);
  return std::chrono::steady_clock::time_point(
      absl::ToChronoNanoseconds(std::min(time, limit) - absl::UnixEpoch()));
}

// A heartbeat that takes longer than this is given up and sent again while the lease still lasts.
absl::Duration BeatTimeout(const LeaseTerms& terms) {
  return std::clamp(terms.heartbeat_interval, absl::Seconds(1), absl::Seconds(10));
}

}  // namespace

LeaseKeeper::LeaseKeeper(BrokerConnection& connection, SerialQueue& calls, Options options)
    : connection_(connection),
      calls_(calls),
      options_(std::move(options)),
      table_(kRetryLimit),
      terms_(options_.terms),
      retry_(kFirstRetry, kRetryLimit),
      thread_([this] { Run(); }) {}

LeaseKeeper::~LeaseKeeper() { Stop(); }

void LeaseKeeper::RequestStop() {
  const std::lock_guard lock(mutex_);
  stopping_.store(true, std::memory_order_relaxed);
  changed_.notify_all();
}

void LeaseKeeper::Stop() {
  RequestStop();
  std::unique_lock lock(mutex_);
  // Again and again, since a call may be about to begin that the first cancelling does not see.
  while (!changed_.wait_for(lock, std::chrono::milliseconds(20), [this] { return run_ended_; })) {
    lock.unlock();
    connection_.CancelCalls();
    lock.lock();
  }
  lock.unlock();
  if (thread_.joinable()) thread_.join();
}

Claims LeaseKeeper::TakeAll() {
  const std::lock_guard lock(mutex_);
  Claims all = table_.All();
  for (const ChannelClaim& channel : all.channels) table_.DropChannel(channel.name);
  for (const ConsumerClaim& consumer : all.consumers) table_.DropConsumer(consumer);
  return all;
}

bool LeaseKeeper::Keeps(const std::string& channel) const {
  const std::lock_guard lock(mutex_);
  return table_.Keeps(channel);
}

template <typename Spec>
LeaseKeeper::Beat LeaseKeeper::HoldAny(const Spec& spec, const Grant& grant) {
  const std::lock_guard lock(mutex_);
  table_.Hold(spec, grant.channel.epoch);
  Learn(grant.terms);
  next_beat_time_ = absl::InfinitePast();
  changed_.notify_all();
  return last_begun_ + 1;
}

LeaseKeeper::Beat LeaseKeeper::Hold(const ChannelSpec& channel, const Grant& grant) {
  return HoldAny(channel, grant);
}

LeaseKeeper::Beat LeaseKeeper::Hold(const ConsumerSpec& consumer, const Grant& grant) {
  return HoldAny(consumer, grant);
}

void LeaseKeeper::Supersede(const ChannelSpec& channel) {
  const std::lock_guard lock(mutex_);
  table_.Supersede(channel, SteadyNow());
  changed_.notify_all();
}

std::optional<uint64_t> LeaseKeeper::DropChannel(const std::string& name) {
  const std::lock_guard lock(mutex_);
  return table_.DropChannel(name);
}

bool LeaseKeeper::DropConsumer(const ConsumerClaim& consumer) {
  const std::lock_guard lock(mutex_);
  return table_.DropConsumer(consumer);
}

absl::Status LeaseKeeper::Await(Beat beat, absl::Duration timeout) {
  std::unique_lock lock(mutex_);
  changed_.wait_until(lock, ToSteady(SteadyNow() + timeout),
                      [&] { return last_ended_ >= beat || stopping(); });
  if (last_ended_ >= beat) return last_beat_;
  if (stopping()) return absl::CancelledError("the messenger is closing");
  return absl::DeadlineExceededError(
      absl::StrCat("no heartbeat was answered within ", absl::FormatDuration(timeout)));
}

absl::Status LeaseKeeper::LastHeartbeat() const {
  const std::lock_guard lock(mutex_);
  return last_beat_;
}

LeaseKeeper::Slack LeaseKeeper::slack() const {
  const std::lock_guard lock(mutex_);
  return slack_;
}

void LeaseKeeper::Learn(const LeaseTerms& terms) {
  if (terms.heartbeat_interval > absl::ZeroDuration()) {
    terms_ = terms;
    terms_.heartbeat_interval = std::max(terms.heartbeat_interval, kMinInterval);
  }
}

void LeaseKeeper::Run() {
  std::unique_lock lock(mutex_);
  while (!stopping()) {
    const absl::Time due = std::min(next_beat_time_, table_.NextRestoreTime());
    if (SteadyNow() < due) {
      changed_.wait_until(lock, ToSteady(due));
      continue;
    }
    PostRestorations(lock);
    if (SteadyNow() >= next_beat_time_) SendHeartbeat(lock);
  }
  run_ended_ = true;
  changed_.notify_all();
}

void LeaseKeeper::PostRestorations(std::unique_lock<std::mutex>& lock) {
  std::vector<LeaseTable::Restoration> due = table_.DueForRestore(SteadyNow());
  lock.unlock();
  for (LeaseTable::Restoration& restoration : due) {
    calls_.Add([this, restoration = std::move(restoration)] { Restore(restoration); });
  }
  lock.lock();
}

void LeaseKeeper::SendHeartbeat(std::unique_lock<std::mutex>& lock) {
  const LeaseTable::ClaimsAsOf held = table_.Held();
  const Beat beat = ++last_begun_;
  const bool was_reachable = last_beat_.ok();
  const absl::Duration timeout = BeatTimeout(terms_);
  // A claim of nothing would mean "everything"; and there is nothing to keep.
  if (held.claims.empty()) {
    lease_end_time_ = absl::InfiniteFuture();
    next_beat_time_ = absl::InfiniteFuture();
    last_ended_ = beat;
    changed_.notify_all();
    return;
  }
  // From here on a new Hold may ask for a beat at once, and is not overwritten below.
  next_beat_time_ = absl::InfiniteFuture();
  const absl::Time sent_time = SteadyNow();
  lock.unlock();
  const absl::StatusOr<HeartbeatReport> report =
      connection_.Heartbeat(options_.session_id, held.claims, timeout);
  lock.lock();

  LeaseTable::Events events;
  absl::Duration wait;
  if (report.ok()) {
    Learn(report->terms);
    slack_.last = lease_end_time_ - SteadyNow();
    slack_.least = std::min(slack_.least, slack_.last);
    lease_end_time_ = sent_time + terms_.lease_ttl;
    table_.Apply(*report, held.generation, SteadyNow(), events);
    retry_.Reset();
    wait = terms_.heartbeat_interval;
    if (!was_reachable)
      events.insert(events.begin(), MessengerEvent{.kind = MessengerEventKind::kBrokerBack});
  } else {
    wait = std::min(retry_.Next(), terms_.heartbeat_interval);
    if (was_reachable && !stopping()) {
      events.push_back({.kind = MessengerEventKind::kBrokerUnreachable, .status = report.status()});
    }
  }
  next_beat_time_ = std::min(next_beat_time_, SteadyNow() + wait);
  last_beat_ = report.status();
  last_ended_ = beat;
  const bool look = report.ok() && !looking_ && !held.claims.consumers.empty() && !stopping();
  looking_ = looking_ || look;
  const bool has_tasks = report.ok() && !report->hand_over_tasks.empty() && !doing_tasks_ && !stopping() &&
                         options_.on_hand_over_tasks != nullptr;
  doing_tasks_ = doing_tasks_ || has_tasks;
  changed_.notify_all();
  lock.unlock();
  Tell(std::move(events));
  if (has_tasks) PostTasks(report->hand_over_tasks);
  if (look) calls_.Add([this] { LookAtConsumedChannels(); });
  lock.lock();
}

void LeaseKeeper::PostTasks(std::vector<HandOverTask> tasks) {
  calls_.Add([this, tasks = std::move(tasks)] {
    {
      const std::lock_guard lock(mutex_);
      doing_tasks_ = false;
      if (stopping()) return;
    }
    options_.on_hand_over_tasks(tasks);
  });
}

void LeaseKeeper::Restore(const LeaseTable::Restoration& restoration) {
  {
    const std::lock_guard lock(mutex_);
    if (stopping() || !table_.IsWanted(restoration)) return;
  }
  absl::StatusOr<Grant> grant;
  if (const auto* channel = std::get_if<ChannelSpec>(&restoration.spec)) {
    grant = connection_.Register(options_.session_id, *channel, /*force=*/false, options_.call_timeout);
  } else {
    grant = connection_.ConsumerRegister(options_.session_id, std::get<ConsumerSpec>(restoration.spec),
                                         options_.call_timeout);
  }
  // Before the heartbeat that makes it ready.
  if (grant.ok() && grant->hand_over.has_value() && options_.on_restored != nullptr) {
    if (const auto* channel = std::get_if<ChannelSpec>(&restoration.spec)) {
      options_.on_restored(*channel, *grant->hand_over);
    }
  }
  LeaseTable::Events events;
  {
    const std::lock_guard lock(mutex_);
    if (grant.ok()) {
      table_.Restored(restoration, grant->channel.epoch, events);
      Learn(grant->terms);
      next_beat_time_ = absl::InfinitePast();
    } else {
      table_.RestoreFailed(restoration, grant.status(), SteadyNow(), events);
    }
  }
  changed_.notify_all();
  Tell(std::move(events));
}

void LeaseKeeper::LookAtConsumedChannels() {
  std::vector<std::string> names;
  {
    const std::lock_guard lock(mutex_);
    looking_ = false;
    names = table_.ConsumedChannels();
  }
  LeaseTable::Events events;
  for (const std::string& name : names) {
    if (stopping()) return;
    if (options_.is_watched(name)) continue;
    const absl::StatusOr<Channel> found = connection_.Discover(name, options_.call_timeout);
    const std::lock_guard lock(mutex_);
    table_.Saw(name, found, events);
  }
  Tell(std::move(events));
}

std::vector<std::string> LeaseKeeper::ConsumedChannels() const {
  const std::lock_guard lock(mutex_);
  return table_.ConsumedChannels();
}

void LeaseKeeper::See(const WarmDirectory::Changes& changes) {
  LeaseTable::Events events;
  {
    const std::lock_guard lock(mutex_);
    for (const WarmDirectory::ChannelPtr& channel : changes) {
      if (channel->state == ChannelState::kReady) {
        table_.SawReady(channel->spec.name, channel->epoch, events);
      } else {
        table_.SawClosing(channel->spec.name, channel->close_reason, events);
      }
    }
  }
  Tell(std::move(events));
}

void LeaseKeeper::Compare(const WarmDirectory& directory) {
  LeaseTable::Events events;
  {
    const std::lock_guard lock(mutex_);
    for (const std::string& name : table_.ConsumedChannels()) {
      // Looked at from both sides: what is not found does not exist only if the stream told of it all the time.
      const bool covered = directory.Covers(name);
      const WarmDirectory::ChannelPtr found = directory.FindLastKnown(name);
      if (!covered || !directory.Covers(name)) continue;
      if (found == nullptr || found->state == ChannelState::kClosing) {
        table_.SawClosing(name, found == nullptr ? CloseReason::kUnknown : found->close_reason, events);
      } else if (found->state == ChannelState::kReady) {
        table_.SawReady(name, found->epoch, events);
      }
    }
  }
  Tell(std::move(events));
}

void LeaseKeeper::Tell(LeaseTable::Events events) {
  for (const MessengerEvent& event : events) {
    options_.log(absl::StrCat(NameOf(event.kind), event.channel.empty() ? "" : " '", event.channel,
                              event.channel.empty() ? "" : "'", event.status.ok() ? "" : ": ",
                              event.status.message()));
  }
  if (!events.empty()) options_.on_events(std::move(events));
}

}  // namespace pylabhub
