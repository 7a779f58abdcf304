#include "broker/channel_registry.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "broker/refusal.h"
#include "broker/validate.h"

namespace pylabhub::broker {
namespace {

// Between a channel's Register and its session's first Heartbeat lies one round trip.
constexpr absl::Duration kNotReadyRetryDelay = absl::Milliseconds(50);
constexpr absl::Duration kNotFoundRetryDelay = absl::Milliseconds(500);

// What a channel counts for in its producer's account, until it is forgotten or taken over.
Usage UsageOf(const ChannelSpec& spec) {
  size_t bytes = spec.name.size() + spec.schema.size();
  for (const auto& [key, value] : spec.metadata) bytes += key.size() + value.size();
  return {.channels = 1, .spec_bytes = static_cast<int64_t>(bytes)};
}

absl::Status RefuseNotFound(absl::string_view name) {
  return Refuse(
      Reason::kChannelNotFound,
      absl::StrCat("no channel \"", name, "\" is registered; start its producer, or check the name"),
      {{"channel", std::string(name)}}, kNotFoundRetryDelay);
}

absl::Status RefuseSchema(const ChannelSpec& actual, absl::string_view expected_schema_hash) {
  const std::string expected = absl::BytesToHexString(expected_schema_hash);
  const std::string found = absl::BytesToHexString(actual.schema_hash);
  return Refuse(
      Reason::kSchemaMismatch,
      absl::StrCat("channel \"", actual.name, "\" has schema ", found, " (version ", actual.schema_version,
                   "), not ", expected, "; use the same struct on both sides, or another channel"),
      {{"channel", actual.name},
       {"expected_schema_hash", expected},
       {"actual_schema_hash", found},
       {"actual_schema_version", absl::StrCat(actual.schema_version)}});
}

// Epoch 0 stands for any.
absl::Status CheckEpoch(const ChannelTable::Record& record, uint64_t epoch) {
  if (epoch == 0 || epoch == record.epoch) return absl::OkStatus();
  const std::string& name = record.spec->name;
  return Refuse(
      Reason::kStaleEpoch,
      absl::StrCat("channel \"", name, "\" is registered under epoch ", record.epoch, ", not ", epoch),
      {{"channel", name}, {"stated_epoch", absl::StrCat(epoch)}, {"epoch", absl::StrCat(record.epoch)}});
}

absl::Status RefuseUnregistered(absl::string_view channel) {
  return Refuse(Reason::kNotRegistered, absl::StrCat("this session does not hold channel \"", channel, "\""),
                {{"channel", std::string(channel)}});
}

absl::Status RefuseUnregistered(absl::string_view channel, absl::string_view consumer_id) {
  return Refuse(
      Reason::kNotRegistered,
      absl::StrCat("this session has no consumer \"", consumer_id, "\" of channel \"", channel, "\""),
      {{"channel", std::string(channel)}, {"consumer_id", std::string(consumer_id)}});
}

}  // namespace

void ChannelRegistry::Restore(RegistryState state, absl::Time now) {
  for (SessionRecord& kept : state.sessions) {
    usage_.Add(kept.identity, {.sessions = 1});
    sessions_.Restore(std::move(kept), now);
  }
  for (ChannelRecord& kept : state.channels) {
    usage_.Add(kept.producer_identity, UsageOf(*kept.spec));
    if (kept.state != ChannelState::kClosing) {
      SessionOfKept(kept.session_id, kept.producer_identity, now).channels.insert(kept.spec->name);
    }
    table_.Restore(std::move(kept), now);
  }
  for (ConsumerRecord& kept : state.consumers) {
    const ConsumerSpec& spec = kept.consumer.spec;
    Record* record = table_.Find(spec.channel_name);
    if (record == nullptr) continue;
    usage_.Add(kept.consumer.identity, {.consumers = 1});
    SessionOfKept(kept.session_id, kept.consumer.identity, now)
        .consumers.emplace(spec.channel_name, spec.consumer_id);
    table_.RestoreConsumer(*record, std::move(kept));
  }
}

Session& ChannelRegistry::SessionOfKept(const std::string& id, const std::string& identity, absl::Time now) {
  if (Session* session = sessions_.FindAnybodys(id)) return *session;
  usage_.Add(identity, {.sessions = 1});
  return sessions_.Restore({.id = id, .identity = identity, .create_time = now}, now);
}

std::vector<Change> ChannelRegistry::TakeChanges() {
  std::vector<Change> changes = sessions_.TakeChanges();
  std::vector<Change> of_channels = table_.TakeChanges();
  std::move(of_channels.begin(), of_channels.end(), std::back_inserter(changes));
  return changes;
}

absl::StatusOr<ChannelView> ChannelRegistry::Register(const Caller& caller, ChannelSpec spec, bool force,
                                                      absl::Time now) {
  Expire(now);
  if (absl::Status status = ValidateRegister(caller.session_id, spec); !status.ok()) return status;
  const absl::StatusOr<Session*> session = sessions_.Find(caller);
  if (!session.ok()) return session.status();

  Record* held = table_.Find(spec.name);
  if (held != nullptr) {
    if (held->session_id == caller.session_id && held->spec->segment_id == spec.segment_id &&
        held->spec->schema_hash == spec.schema_hash) {
      sessions_.Renew(**session, now);
      return ViewOf(*held);
    }
    if (absl::Status status = CheckMayReplace(*held, caller, spec, force, now); !status.ok()) return status;
  }
  if (absl::Status status = CheckRoomFor(spec, caller, *session == nullptr, held); !status.ok())
    return status;

  if (held != nullptr) {
    usage_.Add(held->producer_identity, -UsageOf(*held->spec));
    if (Session* former = sessions_.FindAnybodys(held->session_id)) former->channels.erase(spec.name);
  }
  usage_.Add(caller.identity, UsageOf(spec));
  OpenOrRenew(*session, caller, now).channels.insert(spec.name);
  return ViewOf(table_.Grant(std::move(spec), caller, now));
}

absl::Status ChannelRegistry::CheckMayReplace(const Record& held, const Caller& caller,
                                              const ChannelSpec& spec, bool force, absl::Time now) {
  if (held.state == ChannelState::kClosing) return absl::OkStatus();
  if (force) {
    if (held.producer_identity == caller.identity || caller.may_force) return absl::OkStatus();
    return Refuse(
        Reason::kForceDenied,
        absl::StrCat("channel \"", spec.name, "\" is held by \"", held.producer_identity,
                     "\"; only the same identity may take it by force, and whom the broker's policy "
                     "allows to"),
        {{"channel", spec.name}, {"identity", caller.identity}});
  }
  if (held.spec->schema_hash != spec.schema_hash) return RefuseSchema(*held.spec, spec.schema_hash);
  if (held.session_id == caller.session_id) return absl::OkStatus();
  const absl::Duration left = ViewOf(held).lease_expire_time - now;
  return Refuse(Reason::kChannelHeld,
                absl::StrCat("channel \"", spec.name, "\" is held by \"", held.producer_identity,
                             "\" (process ", held.spec->process.pid, " on host \"", held.spec->process.host,
                             "\"); stop it, or wait until its lease ends in ", absl::FormatDuration(left)),
                {{"channel", spec.name},
                 {"holder", held.producer_identity},
                 {"host", held.spec->process.host},
                 {"pid", absl::StrCat(held.spec->process.pid)},
                 {"epoch", absl::StrCat(held.epoch)}},
                left);
}

absl::Status ChannelRegistry::CheckRoomFor(const ChannelSpec& spec, const Caller& caller, bool opens_session,
                                           const Record* replaced) const {
  Usage more = UsageOf(spec);
  more.sessions = opens_session ? 1 : 0;
  if (replaced == nullptr) return usage_.Check(caller.identity, more);
  const Usage freed = UsageOf(*replaced->spec);
  return usage_.Check(caller.identity, more, replaced->producer_identity, freed);
}

absl::StatusOr<ChannelView> ChannelRegistry::Discover(absl::string_view name,
                                                      absl::string_view expected_schema_hash,
                                                      absl::Time now) {
  Expire(now);
  if (absl::Status status = ValidateDiscover(name, expected_schema_hash); !status.ok()) return status;
  const absl::StatusOr<Record*> record = FindReady(name, expected_schema_hash);
  if (!record.ok()) return record.status();
  return ViewOf(**record);
}

absl::StatusOr<ChannelTable::Record*> ChannelRegistry::FindReady(absl::string_view name,
                                                                 absl::string_view expected_schema_hash) {
  Record* record = table_.Find(name);
  if (record == nullptr || record->state == ChannelState::kClosing) return RefuseNotFound(name);
  if (!expected_schema_hash.empty() && record->spec->schema_hash != expected_schema_hash) {
    return RefuseSchema(*record->spec, expected_schema_hash);
  }
  if (record->state == ChannelState::kReady) return record;
  return Refuse(
      Reason::kChannelNotReady,
      absl::StrCat("channel \"", name, "\" is registered, but its producer has sent no Heartbeat yet"),
      {{"channel", std::string(name)}, {"epoch", absl::StrCat(record->epoch)}}, kNotReadyRetryDelay);
}

absl::Status ChannelRegistry::Deregister(const Caller& caller, absl::string_view name, uint64_t epoch,
                                         absl::Time now) {
  Expire(now);
  if (absl::Status status = ValidateDeregister(caller.session_id, name); !status.ok()) return status;
  const absl::StatusOr<Session*> session = sessions_.Find(caller);
  Record* record = table_.Find(name);
  if (!session.ok() || record == nullptr || record->session_id != caller.session_id)
    return RefuseUnregistered(name);
  if (absl::Status status = CheckEpoch(*record, epoch); !status.ok()) return status;
  (*session)->channels.erase(record->spec->name);
  table_.Close(*record, CloseReason::kDeregistered, now);
  ForgetClosed(now);
  return absl::OkStatus();
}

absl::StatusOr<ChannelView> ChannelRegistry::ConsumerRegister(const Caller& caller, const ConsumerSpec& spec,
                                                              absl::Time now) {
  Expire(now);
  if (absl::Status status = ValidateConsumerRegister(caller.session_id, spec); !status.ok()) return status;
  const absl::StatusOr<Session*> session = sessions_.Find(caller);
  if (!session.ok()) return session.status();
  const absl::StatusOr<Record*> record = FindReady(spec.channel_name, spec.expected_schema_hash);
  if (!record.ok()) return record.status();

  const ConsumerKey key = {caller.session_id, spec.consumer_id};
  if ((*record)->consumers.contains(key)) {
    sessions_.Renew(**session, now);
    return ViewOf(**record);
  }
  if ((*record)->consumers.size() >= options_.limits.max_consumers_per_channel) {
    return RefuseBeyond("consumers_per_channel", options_.limits.max_consumers_per_channel);
  }
  const Usage more = {.sessions = *session == nullptr ? 1 : 0, .consumers = 1};
  if (absl::Status status = usage_.Check(caller.identity, more); !status.ok()) return status;

  usage_.Add(caller.identity, {.consumers = 1});
  OpenOrRenew(*session, caller, now).consumers.emplace(spec.channel_name, spec.consumer_id);
  table_.Join(**record, key, {.spec = spec, .identity = caller.identity, .register_time = now}, now);
  return ViewOf(**record);
}

absl::Status ChannelRegistry::ConsumerDeregister(const Caller& caller, absl::string_view channel_name,
                                                 absl::string_view consumer_id, absl::Time now) {
  Expire(now);
  absl::Status status = ValidateConsumerDeregister(caller.session_id, channel_name, consumer_id);
  if (!status.ok()) return status;
  const absl::StatusOr<Session*> session = sessions_.Find(caller);
  Record* record = table_.Find(channel_name);
  const ConsumerKey key = {caller.session_id, std::string(consumer_id)};
  if (!session.ok() || record == nullptr || !record->consumers.contains(key)) {
    return RefuseUnregistered(channel_name, consumer_id);
  }
  EndConsumer(**session, *record, key, LeaveReason::kDeregistered, now);
  ForgetClosed(now);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<SessionStatus>> ChannelRegistry::Heartbeat(
    absl::string_view identity, const std::vector<SessionClaims>& sessions, absl::Time now,
    absl::string_view certificate_serial) {
  Expire(now);
  if (absl::Status status = ValidateHeartbeat(sessions); !status.ok()) return status;
  std::vector<Session*> found;
  for (const SessionClaims& claims : sessions) {
    const absl::StatusOr<Session*> session = sessions_.Find({std::string(identity), claims.session_id});
    if (!session.ok()) return session.status();
    found.push_back(*session);
  }
  std::vector<SessionStatus> statuses;
  for (size_t i = 0; i < sessions.size(); ++i) {
    Session nobodys;
    if (found[i] != nullptr) sessions_.NoteCertificate(*found[i], certificate_serial);
    statuses.push_back(Renew(sessions[i], found[i] == nullptr ? nobodys : *found[i], now));
    statuses.back().known = found[i] != nullptr;
  }
  return statuses;
}

SessionStatus ChannelRegistry::Renew(const SessionClaims& claims, Session& session, absl::Time now) {
  SessionStatus status = {.session_id = claims.session_id};
  status.channel_count = static_cast<uint32_t>(session.channels.size());
  status.consumer_count = static_cast<uint32_t>(session.consumers.size());
  if (!session.id.empty()) sessions_.Renew(session, now);
  if (claims.channels.empty() && claims.consumers.empty()) {
    for (const std::string& name : session.channels) Confirm(*table_.Find(name), now);
  }
  for (const ChannelClaim& claim : claims.channels) {
    Record* record = session.channels.contains(claim.name) ? table_.Find(claim.name) : nullptr;
    if (record != nullptr && (claim.epoch == 0 || claim.epoch == record->epoch)) {
      Confirm(*record, now);
    } else {
      status.lost_channels.push_back({claim, WhyLost(claim)});
    }
  }
  for (const ConsumerClaim& claim : claims.consumers) {
    if (!session.consumers.contains({claim.channel_name, claim.consumer_id}))
      status.lost_consumers.push_back(claim);
  }
  return status;
}

void ChannelRegistry::Confirm(Record& record, absl::Time now) {
  if (record.state == ChannelState::kPending) table_.MakeReady(record, now);
}

LossReason ChannelRegistry::WhyLost(const ChannelClaim& claim) {
  const Record* record = table_.Find(claim.name);
  if (record == nullptr) return LossReason::kUnknownToBroker;
  if (record->state != ChannelState::kClosing) return LossReason::kFenced;
  if (record->close_reason == CloseReason::kClosedByAdmin) return LossReason::kClosedByAdmin;
  if (record->close_reason == CloseReason::kRevoked) return LossReason::kRevoked;
  // Somebody took it over and is gone again: what the claimant wrote since is nobody's.
  return claim.epoch != 0 && claim.epoch < record->epoch ? LossReason::kFenced : LossReason::kUnknownToBroker;
}

absl::StatusOr<ChannelView> ChannelRegistry::CloseChannel(absl::string_view name, uint64_t epoch,
                                                          absl::Time now) {
  Expire(now);
  if (absl::Status status = ValidateDiscover(name, ""); !status.ok()) return status;
  Record* record = table_.Find(name);
  if (record == nullptr) return RefuseNotFound(name);
  if (absl::Status status = CheckEpoch(*record, epoch); !status.ok()) return status;
  if (record->state == ChannelState::kClosing) return ViewOf(*record);
  sessions_.FindAnybodys(record->session_id)->channels.erase(record->spec->name);
  table_.Close(*record, CloseReason::kClosedByAdmin, now);
  return ViewOf(*record);
}

absl::StatusOr<ChannelView> ChannelRegistry::FindProduced(absl::string_view session_id,
                                                          absl::string_view name, uint64_t epoch,
                                                          absl::Time now) {
  Expire(now);
  const Record* record = table_.Find(name);
  if (record == nullptr || record->session_id != session_id) return RefuseUnregistered(name);
  if (absl::Status status = CheckEpoch(*record, epoch); !status.ok()) return status;
  return ViewOf(*record);
}

absl::StatusOr<std::pair<ChannelView, ConsumerView>> ChannelRegistry::FindConsumed(
    absl::string_view session_id, absl::string_view channel_name, absl::string_view consumer_id,
    absl::Time now) {
  Expire(now);
  const Record* record = table_.Find(channel_name);
  if (record == nullptr) return RefuseUnregistered(channel_name, consumer_id);
  const auto found = record->consumers.find({std::string(session_id), std::string(consumer_id)});
  if (found == record->consumers.end()) return RefuseUnregistered(channel_name, consumer_id);
  return std::pair(ViewOf(*record), found->second);
}

std::vector<ChannelView> ChannelRegistry::HandedOverBy(absl::string_view session_id) {
  std::vector<ChannelView> channels;
  const Session* session = sessions_.FindAnybodys(std::string(session_id));
  if (session == nullptr) return channels;
  for (const std::string& name : session->channels) {
    const Record& record = *table_.Find(name);
    if (record.spec->shared_memory.kind == MemoryKind::kHandedOver) channels.push_back(ViewOf(record));
  }
  return channels;
}

void ChannelRegistry::Expire(absl::Time now) {
  while (std::optional<Session> expired = sessions_.PopExpired(now)) {
    ++lapsed_session_count_;
    EndSession(*std::move(expired), CloseReason::kLeaseExpired, LeaveReason::kLeaseExpired, now);
  }
  ForgetClosed(now);
}

void ChannelRegistry::EndSession(Session session, CloseReason close_reason, LeaveReason leave_reason,
                                 absl::Time now) {
  usage_.Add(session.identity, {.sessions = -1});
  while (!session.consumers.empty()) {
    const auto [channel_name, consumer_id] = *session.consumers.begin();
    EndConsumer(session, *table_.Find(channel_name), {session.id, consumer_id}, leave_reason, now);
  }
  for (const std::string& name : session.channels) table_.Close(*table_.Find(name), close_reason, now);
}

absl::Time ChannelRegistry::NextExpiry() const {
  return std::min(sessions_.NextExpiry(), table_.NextForget());
}

Session& ChannelRegistry::OpenOrRenew(Session* session, const Caller& caller, absl::Time now) {
  if (session == nullptr) {
    usage_.Add(caller.identity, {.sessions = 1});
    session = &sessions_.Open(caller, now);
  } else {
    sessions_.Renew(*session, now);
  }
  sessions_.NoteCertificate(*session, caller.certificate_serial);
  session->peer_address = caller.peer_address;
  return *session;
}

void ChannelRegistry::ForgetClosed(absl::Time now) {
  while (Record* record = table_.FindForgettable(now)) {
    while (!record->consumers.empty()) {
      const ConsumerKey key = record->consumers.begin()->first;
      EndConsumer(*sessions_.FindAnybodys(key.session_id), *record, key, LeaveReason::kChannelRemoved, now);
    }
    usage_.Add(record->producer_identity, -UsageOf(*record->spec));
    table_.Remove(*record, now);
  }
}

void ChannelRegistry::EndConsumer(Session& session, Record& record, const ConsumerKey& key,
                                  LeaveReason reason, absl::Time now) {
  session.consumers.erase({record.spec->name, key.consumer_id});
  usage_.Add(session.identity, {.consumers = -1});
  table_.Leave(record, key, reason, now);
}

ChannelView ChannelRegistry::ViewOf(const Record& record) {
  ChannelView view = ChannelTable::ViewOf(record);
  const Session* session = sessions_.FindAnybodys(record.session_id);
  if (session != nullptr) view.lease_expire_time = session->lease_expire_time;
  return view;
}

}  // namespace pylabhub::broker
