#include "client/fake_broker_connection.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/error_reason.h"
#include "client/name_pattern.h"

namespace pylabhub {
namespace {

absl::Status Refusal(absl::StatusCode code, absl::string_view reason, absl::string_view message) {
  absl::Status status(code, absl::StrCat(reason, ": ", message));
  SetReason(status, reason);
  return status;
}

absl::Status NotFound(const std::string& channel) {
  return Refusal(absl::StatusCode::kNotFound, reason::kChannelNotFound,
                 absl::StrCat("no channel '", channel, "' is registered"));
}

absl::Status NotRegistered(const std::string& what) {
  return Refusal(absl::StatusCode::kNotFound, reason::kNotRegistered,
                 absl::StrCat("the session holds no ", what));
}

absl::Status SchemaMismatch(const std::string& channel) {
  return Refusal(absl::StatusCode::kFailedPrecondition, reason::kSchemaMismatch,
                 absl::StrCat("channel '", channel, "' has another schema"));
}

}  // namespace

class FakeWatchStream : public WatchStream {
 public:
  FakeWatchStream(FakeBroker& broker, WatchRequest request) : broker_(broker), request_(std::move(request)) {}
  ~FakeWatchStream() override {
    const std::lock_guard lock(broker_.mutex_);
    if (open_) --broker_.stream_count_;
  }

  absl::StatusOr<WatchBatch> Next() override {
    if (!end_.ok()) return end_;
    absl::StatusOr<WatchBatch> batch = started_ ? Continue() : Start();
    end_ = batch.status();
    return batch;
  }

  void Cancel() override {
    const std::lock_guard lock(broker_.mutex_);
    cancelled_ = true;
    broker_.changed_.notify_all();
  }

 private:
  absl::StatusOr<WatchBatch> Start() {
    started_ = true;
    if (absl::Status status = broker_.Enter("Watch"); !status.ok()) return status;
    const std::lock_guard lock(broker_.mutex_);
    if (cancelled_) return Cancelled();
    for (const std::string& pattern : request_.name_patterns) {
      if (IsNamePattern(pattern)) continue;
      return Refusal(absl::StatusCode::kInvalidArgument, "INVALID_REQUEST",
                     absl::StrCat("name_patterns: '", pattern, "'"));
    }
    broker_.last_watch_ = request_;
    const bool other_history = !request_.history_id.empty() && request_.history_id != broker_.history_id_;
    const bool is_gone =
        request_.after_revision != 0 && request_.after_revision < broker_.compacted_revision_;
    if (!request_.snapshot && (other_history || is_gone)) {
      return Refusal(absl::StatusCode::kOutOfRange, reason::kRevisionCompacted,
                     "watch again with a snapshot");
    }
    open_ = true;
    ++broker_.stream_count_;
    ends_ = broker_.ends_;
    sent_ = request_.after_revision != 0 ? request_.after_revision : broker_.revision_;
    return request_.snapshot ? SnapshotNow() : Later();
  }

  absl::StatusOr<WatchBatch> Continue() {
    std::unique_lock lock(broker_.mutex_);
    broker_.changed_.wait(lock,
                          [&] { return cancelled_ || broker_.ends_ != ends_ || broker_.revision_ > sent_; });
    if (cancelled_) return Cancelled();
    if (broker_.ends_ != ends_) return broker_.end_;
    return Later();
  }

  static absl::Status Cancelled() { return absl::CancelledError("the stream was cancelled"); }

  // Both expect the broker's lock to be held.
  WatchBatch SnapshotNow() {
    WatchBatch batch{.history_id = broker_.history_id_};
    for (const auto& [name, entry] : broker_.entries_) {
      if (!NameMatchesAny(name, request_.name_patterns)) continue;
      batch.events.push_back({.kind = WatchEventKind::kSnapshot,
                              .revision = broker_.revision_,
                              .channel = broker_.Snapshot(entry)});
    }
    batch.events.push_back({.kind = WatchEventKind::kSnapshotComplete, .revision = broker_.revision_});
    sent_ = broker_.revision_;
    return batch;
  }

  WatchBatch Later() {
    WatchBatch batch{.history_id = broker_.history_id_};
    for (const WatchEvent& event : broker_.events_) {
      if (event.revision <= sent_ || !NameMatchesAny(event.channel.spec.name, request_.name_patterns))
        continue;
      batch.events.push_back(event);
    }
    batch.events.push_back({.kind = WatchEventKind::kBookmark, .revision = broker_.revision_});
    sent_ = broker_.revision_;
    return batch;
  }

  FakeBroker& broker_;
  const WatchRequest request_;
  // Of the thread that reads.
  bool started_ = false;
  absl::Status end_;
  // All below are guarded by the broker's lock.
  bool open_ = false;
  bool cancelled_ = false;
  uint64_t sent_ = 0;
  uint64_t ends_ = 0;
};

class FakeConnection : public BrokerConnection {
 public:
  FakeConnection(FakeBroker& broker, std::string identity)
      : broker_(broker), identity_(std::move(identity)) {}

  absl::StatusOr<BrokerInfo> GetBrokerInfo(absl::Duration) override {
    if (absl::Status status = broker_.Enter("GetBrokerInfo"); !status.ok()) return status;
    return BrokerInfo{.version = "fake",
                      .min_protocol_version = 1,
                      .max_protocol_version = 1,
                      .terms = broker_.terms_,
                      .caller_identity = identity_};
  }

  absl::StatusOr<Grant> Register(const std::string& session_id, const ChannelSpec& channel, bool force,
                                 absl::Duration) override {
    if (absl::Status status = broker_.Enter("Register"); !status.ok()) return status;
    return broker_.Register(identity_, session_id, channel, force);
  }

  absl::StatusOr<uint64_t> Deregister(const std::string& session_id, const std::string& channel,
                                      uint64_t epoch, absl::Duration) override {
    if (absl::Status status = broker_.Enter("Deregister"); !status.ok()) return status;
    return broker_.Deregister(session_id, channel, epoch);
  }

  absl::StatusOr<Grant> ConsumerRegister(const std::string& session_id, const ConsumerSpec& consumer,
                                         absl::Duration) override {
    if (absl::Status status = broker_.Enter("ConsumerRegister"); !status.ok()) return status;
    return broker_.ConsumerRegister(session_id, consumer);
  }

  absl::StatusOr<uint64_t> ConsumerDeregister(const std::string& session_id, const ConsumerClaim& consumer,
                                              absl::Duration) override {
    if (absl::Status status = broker_.Enter("ConsumerDeregister"); !status.ok()) return status;
    return broker_.ConsumerDeregister(session_id, consumer);
  }

  absl::StatusOr<HeartbeatReport> Heartbeat(const std::string& session_id, const Claims& claims,
                                            absl::Duration) override {
    if (absl::Status status = broker_.Enter("Heartbeat"); !status.ok()) return status;
    return broker_.Heartbeat(session_id, claims);
  }

  absl::StatusOr<Channel> Discover(const std::string& channel, absl::Duration) override {
    if (absl::Status status = broker_.Enter("Discover"); !status.ok()) return status;
    return broker_.Discover(channel);
  }

  absl::StatusOr<ChannelPage> ListChannels(const std::string& name_prefix, const std::string&,
                                           absl::Duration) override {
    if (absl::Status status = broker_.Enter("ListChannels"); !status.ok()) return status;
    return broker_.ListChannels(name_prefix);
  }

  std::unique_ptr<WatchStream> Watch(const WatchRequest& request) override {
    return std::make_unique<FakeWatchStream>(broker_, request);
  }

  void CancelCalls() override { (void)broker_.Enter("CancelCalls"); }

 private:
  FakeBroker& broker_;
  const std::string identity_;
};

std::unique_ptr<BrokerConnection> FakeBroker::NewConnection(std::string identity) {
  return std::make_unique<FakeConnection>(*this, std::move(identity));
}

void FakeBroker::SetCallHook(CallHook hook) {
  const std::lock_guard lock(mutex_);
  hook_ = std::move(hook);
}

void FakeBroker::Restart() {
  const std::lock_guard lock(mutex_);
  entries_.clear();
  sessions_.clear();
  events_.clear();
  history_id_ = absl::StrCat("fake history ", ends_ + 2);
  EndStreams(Refusal(absl::StatusCode::kUnavailable, reason::kShuttingDown, "the broker is restarted"));
}

void FakeBroker::RestartWithState() {
  const std::lock_guard lock(mutex_);
  events_.clear();
  compacted_revision_ = ++revision_;
  EndStreams(Refusal(absl::StatusCode::kUnavailable, reason::kShuttingDown, "the broker is restarted"));
}

void FakeBroker::BreakStreams(const absl::Status& status) {
  const std::lock_guard lock(mutex_);
  EndStreams(status);
}

void FakeBroker::CompactEvents() {
  const std::lock_guard lock(mutex_);
  events_.clear();
  compacted_revision_ = revision_;
}

void FakeBroker::EndStreams(const absl::Status& status) {
  ++ends_;
  end_ = status;
  changed_.notify_all();
}

void FakeBroker::Change(Entry& entry, WatchEventKind kind) {
  entry.channel.revision = ++revision_;
  events_.push_back({.kind = kind, .revision = revision_, .channel = Snapshot(entry)});
  changed_.notify_all();
}

void FakeBroker::Close(Entry& entry, CloseReason why) {
  entry.channel.state = ChannelState::kClosing;
  entry.channel.close_reason = why;
  Change(entry, WatchEventKind::kChannelClosing);
}

void FakeBroker::Remove(std::map<std::string, Entry>::iterator entry) {
  Change(entry->second, WatchEventKind::kChannelRemoved);
  entries_.erase(entry);
}

void FakeBroker::TakeOver(const std::string& channel) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(channel);
  if (found == entries_.end()) return;
  Entry& entry = found->second;
  Close(entry, CloseReason::kReplaced);
  entry.taken_over = true;
  entry.session_id = "another session";
  entry.channel.epoch = ++last_epoch_;
  entry.channel.state = ChannelState::kReady;
  entry.channel.close_reason = CloseReason::kUnknown;
  Change(entry, WatchEventKind::kChannelReady);
}

void FakeBroker::Expire(const std::string& channel) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(channel);
  if (found == entries_.end()) return;
  Close(found->second, CloseReason::kLeaseExpired);
  Remove(found);
}

Channel FakeBroker::Find(const std::string& channel) const {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(channel);
  return found == entries_.end() ? Channel{} : Snapshot(found->second);
}

uint64_t FakeBroker::heartbeat_count() const {
  const std::lock_guard lock(mutex_);
  return heartbeat_count_;
}

size_t FakeBroker::stream_count() const {
  const std::lock_guard lock(mutex_);
  return stream_count_;
}

WatchRequest FakeBroker::last_watch() const {
  const std::lock_guard lock(mutex_);
  return last_watch_;
}

uint64_t FakeBroker::revision() const {
  const std::lock_guard lock(mutex_);
  return revision_;
}

absl::Status FakeBroker::Enter(absl::string_view method) {
  CallHook hook;
  {
    const std::lock_guard lock(mutex_);
    hook = hook_;
  }
  return hook ? hook(method) : absl::OkStatus();
}

Channel FakeBroker::Snapshot(const Entry& entry) const {
  Channel channel = entry.channel;
  channel.consumer_count = static_cast<uint32_t>(entry.consumers.size());
  return channel;
}

absl::StatusOr<Grant> FakeBroker::Register(const std::string& identity, const std::string& session_id,
                                           const ChannelSpec& spec, bool force) {
  const std::lock_guard lock(mutex_);
  Entry& entry = entries_[spec.name];
  const bool is_new = entry.channel.epoch == 0;
  if (!is_new && entry.session_id != session_id && !force) {
    return Refusal(absl::StatusCode::kAlreadyExists, reason::kChannelHeld,
                   absl::StrCat("another session holds channel '", spec.name, "'"));
  }
  if (!is_new && entry.channel.spec.schema_hash != spec.schema_hash) return SchemaMismatch(spec.name);
  const bool same = entry.session_id == session_id && entry.channel.spec.segment_id == spec.segment_id;
  sessions_.insert(session_id);
  if (!is_new && same) return Grant{.channel = Snapshot(entry), .terms = terms_};
  if (!is_new) Close(entry, CloseReason::kReplaced);
  entry.channel.epoch = ++last_epoch_;
  entry.channel.state = ChannelState::kPending;
  entry.channel.close_reason = CloseReason::kUnknown;
  entry.session_id = session_id;
  entry.channel.spec = spec;
  entry.channel.producer_identity = identity;
  Change(entry, WatchEventKind::kChannelPending);
  return Grant{.channel = Snapshot(entry), .terms = terms_};
}

absl::StatusOr<uint64_t> FakeBroker::Deregister(const std::string& session_id, const std::string& channel,
                                                uint64_t epoch) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(channel);
  if (found == entries_.end() || found->second.session_id != session_id) {
    return NotRegistered(absl::StrCat("channel '", channel, "'"));
  }
  if (epoch != 0 && epoch != found->second.channel.epoch) {
    return Refusal(absl::StatusCode::kFailedPrecondition, reason::kStaleEpoch,
                   absl::StrCat("channel '", channel, "' was registered anew"));
  }
  Close(found->second, CloseReason::kDeregistered);
  Remove(found);
  return revision_;
}

absl::StatusOr<Grant> FakeBroker::ConsumerRegister(const std::string& session_id, const ConsumerSpec& spec) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(spec.channel);
  if (found == entries_.end()) return NotFound(spec.channel);
  Entry& entry = found->second;
  if (spec.expected_schema_hash.has_value() && *spec.expected_schema_hash != entry.channel.spec.schema_hash) {
    return SchemaMismatch(spec.channel);
  }
  sessions_.insert(session_id);
  if (entry.consumers.emplace(session_id, spec.consumer_id).second) {
    Change(entry, WatchEventKind::kConsumerJoined);
  }
  return Grant{.channel = Snapshot(entry), .terms = terms_};
}

absl::StatusOr<uint64_t> FakeBroker::ConsumerDeregister(const std::string& session_id,
                                                        const ConsumerClaim& consumer) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(consumer.channel);
  if (found == entries_.end() || found->second.consumers.erase({session_id, consumer.consumer_id}) == 0) {
    return NotRegistered(absl::StrCat("consumer of channel '", consumer.channel, "'"));
  }
  Change(found->second, WatchEventKind::kConsumerLeft);
  return revision_;
}

HeartbeatReport FakeBroker::Heartbeat(const std::string& session_id, const Claims& claims) {
  const std::lock_guard lock(mutex_);
  ++heartbeat_count_;
  HeartbeatReport report{.session_known = sessions_.count(session_id) > 0, .terms = terms_};
  if (!report.session_known) return report;
  for (const ChannelClaim& claim : claims.channels) {
    const auto found = entries_.find(claim.name);
    if (found != entries_.end() && found->second.session_id == session_id) {
      if (found->second.channel.state == ChannelState::kReady) continue;
      found->second.channel.state = ChannelState::kReady;
      Change(found->second, WatchEventKind::kChannelReady);
      continue;
    }
    const bool fenced = found != entries_.end() && found->second.taken_over;
    report.lost_channels.push_back({.name = claim.name,
                                    .epoch = claim.epoch,
                                    .reason = fenced ? LossReason::kFenced : LossReason::kUnknownToBroker});
  }
  for (const ConsumerClaim& claim : claims.consumers) {
    const auto found = entries_.find(claim.channel);
    if (found == entries_.end() || found->second.consumers.count({session_id, claim.consumer_id}) == 0) {
      report.lost_consumers.push_back(claim);
    }
  }
  return report;
}

absl::StatusOr<Channel> FakeBroker::Discover(const std::string& channel) const {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(channel);
  if (found == entries_.end()) return NotFound(channel);
  if (found->second.channel.state != ChannelState::kReady) {
    return Refusal(absl::StatusCode::kUnavailable, reason::kChannelNotReady,
                   absl::StrCat("channel '", channel, "' is not ready yet"));
  }
  return Snapshot(found->second);
}

ChannelPage FakeBroker::ListChannels(const std::string& name_prefix) const {
  const std::lock_guard lock(mutex_);
  ChannelPage page;
  for (const auto& [name, entry] : entries_) {
    if (absl::StartsWith(name, name_prefix)) page.channels.push_back(Snapshot(entry));
  }
  return page;
}

}  // namespace pylabhub
