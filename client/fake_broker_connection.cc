#include "client/fake_broker_connection.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/error_reason.h"

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

  absl::Status Deregister(const std::string& session_id, const std::string& channel, uint64_t epoch,
                          absl::Duration) override {
    if (absl::Status status = broker_.Enter("Deregister"); !status.ok()) return status;
    return broker_.Deregister(session_id, channel, epoch);
  }

  absl::StatusOr<Grant> ConsumerRegister(const std::string& session_id, const ConsumerSpec& consumer,
                                         absl::Duration) override {
    if (absl::Status status = broker_.Enter("ConsumerRegister"); !status.ok()) return status;
    return broker_.ConsumerRegister(session_id, consumer);
  }

  absl::Status ConsumerDeregister(const std::string& session_id, const ConsumerClaim& consumer,
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
}

void FakeBroker::TakeOver(const std::string& channel) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(channel);
  if (found == entries_.end()) return;
  found->second.taken_over = true;
  found->second.session_id = "another session";
  found->second.channel.epoch = ++last_epoch_;
}

void FakeBroker::Expire(const std::string& channel) {
  const std::lock_guard lock(mutex_);
  entries_.erase(channel);
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
  if (is_new || !same) {
    entry.channel.epoch = ++last_epoch_;
    entry.channel.state = ChannelState::kPending;
  }
  entry.session_id = session_id;
  entry.channel.spec = spec;
  entry.channel.producer_identity = identity;
  sessions_.insert(session_id);
  return Grant{.channel = Snapshot(entry), .terms = terms_};
}

absl::Status FakeBroker::Deregister(const std::string& session_id, const std::string& channel,
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
  entries_.erase(found);
  return absl::OkStatus();
}

absl::StatusOr<Grant> FakeBroker::ConsumerRegister(const std::string& session_id, const ConsumerSpec& spec) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(spec.channel);
  if (found == entries_.end()) return NotFound(spec.channel);
  Entry& entry = found->second;
  if (spec.expected_schema_hash.has_value() && *spec.expected_schema_hash != entry.channel.spec.schema_hash) {
    return SchemaMismatch(spec.channel);
  }
  entry.consumers.emplace(session_id, spec.consumer_id);
  sessions_.insert(session_id);
  return Grant{.channel = Snapshot(entry), .terms = terms_};
}

absl::Status FakeBroker::ConsumerDeregister(const std::string& session_id, const ConsumerClaim& consumer) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(consumer.channel);
  if (found == entries_.end() || found->second.consumers.erase({session_id, consumer.consumer_id}) == 0) {
    return NotRegistered(absl::StrCat("consumer of channel '", consumer.channel, "'"));
  }
  return absl::OkStatus();
}

HeartbeatReport FakeBroker::Heartbeat(const std::string& session_id, const Claims& claims) {
  const std::lock_guard lock(mutex_);
  ++heartbeat_count_;
  HeartbeatReport report{.session_known = sessions_.count(session_id) > 0, .terms = terms_};
  if (!report.session_known) return report;
  for (const ChannelClaim& claim : claims.channels) {
    const auto found = entries_.find(claim.name);
    if (found != entries_.end() && found->second.session_id == session_id) {
      found->second.channel.state = ChannelState::kReady;
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
