// The rules of the directory: who may register, find and give up channels and consumers, and how long a lease
// keeps them.
//
// A ChannelRegistry does no I/O, takes no lock and reads no clock: every call is told the time, so a test can
// stand one nanosecond before an expiry. What a call means to its caller is told in
// proto/pylabhub/v1/broker.proto.
//
// Thread safety: thread-compatible; BrokerService serialises its calls.
// Time:          `now` never decreases from one call to the next. Every call first lets the leases end that
// ended
//                by `now`, so no answer depends on how often Expire is called.
// Ownership:     keeps copies; what it returns outlives it.
// Errors:        refusal.h; each call lists its reasons, beside INVALID_REQUEST (a field breaks its rule).
// Calls
//                that register or renew also refuse SESSION_NOT_YOURS (the session id belongs to another
//                identity). A refused call changes nothing.
#ifndef PYLABHUB_BROKER_CHANNEL_REGISTRY_H_
#define PYLABHUB_BROKER_CHANNEL_REGISTRY_H_

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "broker/channel_table.h"
#include "broker/channel_types.h"
#include "broker/limits.h"
#include "broker/registry_state.h"
#include "broker/session_book.h"
#include "broker/usage_book.h"

namespace pylabhub::broker {

struct RegistryOptions {
  absl::Duration lease_ttl = absl::Seconds(10);
  // How long a closing channel is remembered for the consumers that it still has.
  absl::Duration closing_ttl = absl::Seconds(60);
  // Above every epoch that was granted before under the same names, so that an old producer stays fenced.
  uint64_t first_epoch = 1;
  uint64_t first_revision = 1;
  Limits limits = {};

  // How often clients are asked to send Heartbeat: three in a lease, so that one may get lost.
  absl::Duration heartbeat_interval() const { return lease_ttl * 3 / 10; }
};

// Which channels to list, from where.
struct ListQuery {
  std::string name_prefix = {};
  std::vector<ChannelState> states = {};  // empty: in any
  std::string after_name = {};            // the last name of the page before; empty: from the beginning
  size_t page_size = 100;                 // at least 1
  // Which names may be seen at all; empty: any. Called with the registry locked.
  std::function<bool(const std::string& name)> may_see = {};
};

struct ChannelPage {
  std::vector<ChannelView> channels;  // by name
  // A page may be short of what was asked for, or empty, and there is more all the same: not many are looked at in one go.
  bool has_more = false;
  std::string last_name = {};  // the last that was looked at: where the next page goes on
};

// Which sessions to list, from where.
struct SessionQuery {
  std::string identity = {};  // empty: of any
  uint64_t after_number = 0;  // of the last session of the page before; 0: from the beginning
  size_t page_size = 100;     // at least 1
};

// A session with what it holds.
struct SessionView {
  uint64_t number = 0;
  std::string id = {};
  std::string identity = {};
  std::string peer_address = {};
  absl::Time create_time = absl::InfinitePast();
  absl::Time renew_time = absl::InfinitePast();
  absl::Time lease_expire_time = absl::InfinitePast();
  std::vector<std::string> channel_names = {};
  std::vector<ConsumerView> consumers = {};
};

struct SessionPage {
  std::vector<SessionView> sessions;
  bool has_more = false;
};

// Whose a session is.
struct SessionHolder {
  absl::string_view identity = {};
  // Of the certificate that spoke for the session last; empty if that is not known.
  absl::string_view certificate_serial = {};
};

// What a revocation ended.
struct Revoked {
  uint64_t sessions = 0;
  uint64_t channels = 0;
  uint64_t consumers = 0;
};

class ChannelRegistry {
 public:
  explicit ChannelRegistry(const RegistryOptions& options)
      : options_(options),
        sessions_(options.lease_ttl, options.heartbeat_interval()),
        usage_(options.limits),
        table_(options.first_epoch, options.first_revision, options.closing_ttl) {}

  // Puts back what TakeChanges told once, into a registry that is empty. Every session has a full lease anew, ready
  // channels stay ready, closing ones are kept for another closing_ttl. Records that others name and that are lost are
  // made up for: a session from what it holds; a consumer of no channel is left out.
  void Restore(RegistryState state, absl::Time now);

  // Registers a channel, pending until its session's next Heartbeat, and lets the session's lease run over
  // [now, now + lease_ttl). Idempotent by session, name and segment.
  //
  // Errors:
  //   SCHEMA_MISMATCH  a live lease holds the name with another schema hash (and no `force`)
  //   CHANNEL_HELD     a live lease of another session holds the name (and no `force`)
  //   FORCE_DENIED     `force`, against another identity than the caller's own
  //   LIMIT_EXCEEDED   options.limits
  absl::StatusOr<ChannelView> Register(const Caller& caller, ChannelSpec spec, bool force, absl::Time now);

  // A channel that is ready. An empty `expected_schema_hash` accepts any schema.
  //
  // Errors:
  //   CHANNEL_NOT_FOUND  not registered, or closing
  //   CHANNEL_NOT_READY  pending
  //   SCHEMA_MISMATCH    another schema than expected
  absl::StatusOr<ChannelView> Discover(absl::string_view name, absl::string_view expected_schema_hash,
                                       absl::Time now);

  // Gives up a channel. Epoch 0 stands for whichever the session holds.
  //
  // Errors:
  //   NOT_REGISTERED  the session does not hold it
  //   STALE_EPOCH     the session holds it under another epoch
  absl::Status Deregister(const Caller& caller, absl::string_view name, uint64_t epoch, absl::Time now);

  // Registers a consumer, and answers with the channel. Idempotent by session, channel and consumer id.
  //
  // Errors: those of Discover, and
  //   LIMIT_EXCEEDED  options.limits
  absl::StatusOr<ChannelView> ConsumerRegister(const Caller& caller, const ConsumerSpec& spec,
                                               absl::Time now);

  // Gives up a consumer.
  //
  // Errors:
  //   NOT_REGISTERED  the session has no such consumer
  absl::Status ConsumerDeregister(const Caller& caller, absl::string_view channel_name,
                                  absl::string_view consumer_id, absl::Time now);

  // Renews the leases of `sessions`, makes their pending channels ready (those claimed, or all if a session
  // claims nothing), and says what of the claims the broker does not know. All sessions, or none. The certificate
  // speaks for them from now on; an empty serial is not stated.
  absl::StatusOr<std::vector<SessionStatus>> Heartbeat(absl::string_view identity,
                                                       const std::vector<SessionClaims>& sessions,
                                                       absl::Time now,
                                                       absl::string_view certificate_serial = "");

  ChannelPage List(const ListQuery& query, absl::Time now);

  // Closes a channel whoever holds it, if it has `epoch` (0: in any case). One that is closing stays as it is. The
  // producer learns so with its next Heartbeat; until then, at most for closing_ttl, the channel is not forgotten.
  //
  // Errors:
  //   CHANNEL_NOT_FOUND  no such channel
  //   STALE_EPOCH        it has another epoch
  absl::StatusOr<ChannelView> CloseChannel(absl::string_view name, uint64_t epoch, absl::Time now);

  // Takes from those who may not hold it any more what they hold, at once: channels close with kRevoked and are
  // remembered for their producer's next Heartbeat, at most for closing_ttl; consumers leave with kRevoked. Whether
  // they may come back is not the registry's to decide.
  //
  // Ends each session whose holder is revoked, with all that it holds.
  Revoked RevokeSessions(absl::FunctionRef<bool(const SessionHolder& holder)> is_revoked, absl::Time now);
  // Closes each pending or ready channel of which this is true.
  Revoked RevokeChannels(
      absl::FunctionRef<bool(absl::string_view producer_identity, absl::string_view channel_name)> is_revoked,
      absl::Time now);
  // Ends each consumer of which this is true; its session goes on.
  Revoked RevokeConsumers(
      absl::FunctionRef<bool(absl::string_view consumer_identity, absl::string_view channel_name)> is_revoked,
      absl::Time now);
  // What a session holds, for who shows a ticket of it: a channel that it produces under this epoch, or a consumer and its
  // channel.
  //
  // Errors:
  //   NOT_REGISTERED  the session does not hold it
  //   STALE_EPOCH     the session holds it under another epoch
  absl::StatusOr<ChannelView> FindProduced(absl::string_view session_id, absl::string_view name,
                                           uint64_t epoch, absl::Time now);
  absl::StatusOr<std::pair<ChannelView, ConsumerView>> FindConsumed(absl::string_view session_id,
                                                                    absl::string_view channel_name,
                                                                    absl::string_view consumer_id,
                                                                    absl::Time now);

  // The channels that the session produces and whose memory is handed over.
  std::vector<ChannelView> HandedOverBy(absl::string_view session_id);

  // In the order of their numbers. A page is shorter where sessions hold much.
  SessionPage ListSessions(const SessionQuery& query, absl::Time now);

  // Lets leases end that ended by `now`.
  void Expire(absl::Time now);

  // When Expire has something to do next; InfiniteFuture if it never has.
  absl::Time NextExpiry() const;

  // Lets every lease end later by `stall`, a time in which the broker itself stood still.
  void GiveBack(absl::Duration stall) { sessions_.GiveBack(stall); }

  // The changes since the last call, those of refused calls' expiries included.
  std::vector<Event> TakeEvents() { return table_.TakeEvents(); }

  // What is to be kept of them, likewise. Of changes with one key the last is enough.
  std::vector<Change> TakeChanges();

  uint64_t revision() const { return table_.revision(); }
  uint64_t last_epoch() const { return table_.last_epoch(); }

  size_t session_count() const { return sessions_.size(); }
  // Sessions, channels and consumers that there are.
  const Usage& usage() const { return usage_.total(); }
  // How many sessions' leases ended.
  uint64_t lapsed_session_count() const { return lapsed_session_count_; }
  // How often a session was held for one lease more, since too many were about to end at once.
  uint64_t held_session_count() const { return sessions_.held_count(); }

 private:
  using Record = ChannelTable::Record;

  absl::Status CheckMayReplace(const Record& held, const Caller& caller, const ChannelSpec& spec, bool force,
                               absl::Time now);
  absl::Status CheckRoomFor(const ChannelSpec& spec, const Caller& caller, bool opens_session,
                            const Record* replaced) const;
  absl::StatusOr<Record*> FindReady(absl::string_view name, absl::string_view expected_schema_hash);
  Session& OpenOrRenew(Session* session, const Caller& caller, absl::Time now);
  SessionStatus Renew(const SessionClaims& claims, Session& session, absl::Time now);
  void Confirm(Record& record, absl::Time now);
  Session& SessionOfKept(const std::string& id, const std::string& identity, absl::Time now);
  LossReason WhyLost(const ChannelClaim& claim);
  SessionView ViewOf(const Session& session);
  void EndSession(Session session, CloseReason close_reason, LeaveReason leave_reason, absl::Time now);
  void EndConsumer(Session& session, Record& record, const ConsumerKey& key, LeaveReason reason,
                   absl::Time now);
  void ForgetClosed(absl::Time now);
  ChannelView ViewOf(const Record& record);

  const RegistryOptions options_;
  SessionBook sessions_;
  UsageBook usage_;
  ChannelTable table_;
  uint64_t lapsed_session_count_ = 0;
};

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_CHANNEL_REGISTRY_H_
