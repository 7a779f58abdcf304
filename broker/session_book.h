// The sessions that the broker knows: to whom each belongs, what it holds, and when its one lease ends.
//
// When more than half of all sessions, and at least ten, are about to end within one heartbeat interval, then the
// network of the broker is more likely to be gone than all of them: they are held for one lease more, each once
// until it is renewed.
//
// Thread safety: thread-compatible.
// Time:          `now` never decreases from one call to the next.
// Ownership:     pointers and references to a Session stay good until it is removed.
#ifndef PYLABHUB_BROKER_SESSION_BOOK_H_
#define PYLABHUB_BROKER_SESSION_BOOK_H_

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/node_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "broker/channel_types.h"
#include "broker/registry_state.h"

namespace pylabhub::broker {

struct Session {
  // Counts sessions from 1, in the order in which the broker met them; never given twice in one run.
  uint64_t number = 0;
  std::string id;
  std::string identity;
  // Of the certificate that spoke for it last; empty if that is not known.
  std::string certificate_serial;
  // Where it registered from last, for people; empty after a restart of the broker.
  std::string peer_address;
  absl::Time create_time;
  absl::Time renew_time;
  absl::Time lease_expire_time;
  // Its lease has ended, and was made longer since so many ended at once.
  bool held = false;
  // Names of the channels whose producer it is.
  std::set<std::string> channels;
  // Its consumers: channel name and consumer id.
  std::set<std::pair<std::string, std::string>> consumers;
};

class SessionBook {
 public:
  // Sessions are renewed every `heartbeat_interval`, which is less than half of `lease_ttl`.
  SessionBook(absl::Duration lease_ttl, absl::Duration heartbeat_interval)
      : lease_ttl_(lease_ttl), heartbeat_interval_(heartbeat_interval) {}

  // The caller's session; null if there is none of that id.
  //
  // Errors:
  //   SESSION_NOT_YOURS  the id belongs to another identity
  absl::StatusOr<Session*> Find(const Caller& caller);

  // The session of this id, whoever asks; null if there is none.
  Session* FindAnybodys(absl::string_view session_id);

  // In the order of their numbers.
  const std::map<uint64_t, Session*>& by_number() const { return by_number_; }

  // Opens a session that is not there yet, with a lease over [now, now + lease_ttl).
  Session& Open(const Caller& caller, absl::Time now);

  // Puts back a session that is not there, with a lease over [now, now + lease_ttl). No change.
  Session& Restore(SessionRecord kept, absl::Time now);

  // Remembers which certificate speaks for the session. An empty serial changes nothing.
  void NoteCertificate(Session& session, absl::string_view certificate_serial);

  // Lets the lease end at now + lease_ttl.
  void Renew(Session& session, absl::Time now);

  // Removes the session whose lease ended first, if one ended at or before `now`. To be called until it
  // returns nothing.
  std::optional<Session> PopExpired(absl::Time now);

  // Removes a session that is there.
  Session Remove(absl::string_view session_id);

  // When the next lease ends; InfiniteFuture if there is none.
  absl::Time NextExpiry() const;

  // Lets every lease end later by `stall`: a time in which the broker could not have received a Heartbeat.
  void GiveBack(absl::Duration stall);

  size_t size() const { return sessions_.size(); }

  // How often a session was held for one lease more, since the start.
  uint64_t held_count() const { return held_count_; }

  // What is to be kept of the changes since the last call.
  std::vector<Change> TakeChanges() { return std::exchange(changes_, {}); }

 private:
  // Looks at the leases that end within the interval from the first one's end on, once for each interval.
  void HoldIfTooMany();
  void SetExpiry(Session& session, absl::Time time);

  const absl::Duration lease_ttl_;
  const absl::Duration heartbeat_interval_;
  // Nodes, so that a Session stays where it is.
  absl::node_hash_map<std::string, Session> sessions_;
  std::map<uint64_t, Session*> by_number_;
  uint64_t last_number_ = 0;
  std::set<std::pair<absl::Time, std::string>> by_expiry_;
  // Leases that end before have been looked at, and are to end.
  absl::Time may_end_until_ = absl::InfinitePast();
  uint64_t held_count_ = 0;
  std::vector<Change> changes_;
};

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_SESSION_BOOK_H_
