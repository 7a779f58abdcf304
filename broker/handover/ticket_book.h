// Tickets for hand-overs: who has one, got it over mutual TLS, and may deposit or collect once.
//
// A ticket is 128 random bits, for one purpose of one session on one channel. It is good once, until it ends, and for one user:
// the one that used a ticket of that session first. A ticket that another user shows has been stolen, and is void.
//
// A TicketBook does no I/O, takes no lock and reads no clock.
//
// Thread safety: thread-compatible.
// Time:          `now` never decreases from one call to the next.
#ifndef PYLABHUB_BROKER_HANDOVER_TICKET_BOOK_H_
#define PYLABHUB_BROKER_HANDOVER_TICKET_BOOK_H_

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace pylabhub::broker {

enum class TicketPurpose { kDeposit, kCollect };

// What a ticket is for.
struct TicketScope {
  TicketPurpose purpose = TicketPurpose::kDeposit;
  std::string session_id = {};
  std::string channel = {};
  uint64_t epoch = 0;            // of the channel's registration
  std::string consumer_id = {};  // kCollect

  auto operator<=>(const TicketScope&) const = default;
};

struct Ticket {
  std::string bytes = {};
  absl::Time expire_time = absl::InfinitePast();
};

class TicketBook {
 public:
  static constexpr size_t kTicketBytes = 16;

  // Tickets are good for `ttl`. `make_bytes` answers kTicketBytes that nobody can guess.
  TicketBook(absl::Duration ttl, std::function<std::string()> make_bytes)
      : ttl_(ttl), make_bytes_(std::move(make_bytes)) {}

  // A ticket; the one that is out for the same scope, if it is good for half of its time yet.
  Ticket Issue(const TicketScope& scope, absl::Time now);

  // What the ticket is for, if it is good for this purpose and this user. It stays good until Use.
  //
  // Errors:
  //   TICKET_INVALID  unknown, used, ended, or for another purpose; or another user's, and then it is void from now on
  absl::StatusOr<TicketScope> Check(absl::string_view ticket, TicketPurpose purpose, uid_t uid,
                                    absl::Time now);

  // It was used, by this user: from now on the session's tickets are good for nobody else.
  void Use(absl::string_view ticket, uid_t uid);

  size_t size() const { return tickets_.size(); }

 private:
  struct Entry {
    TicketScope scope;
    absl::Time expire_time;
  };
  struct Holder {
    uid_t uid = 0;
    absl::Time last_issue_time = absl::InfinitePast();
  };

  void DropExpired(absl::Time now);
  void Drop(const std::string& ticket);
  void Remember(const std::string& session_id, absl::Time now);

  const absl::Duration ttl_;
  const std::function<std::string()> make_bytes_;
  absl::flat_hash_map<std::string, Entry> tickets_;
  std::map<TicketScope, std::string> by_scope_;
  std::multimap<absl::Time, std::string> by_expire_time_;
  // Sessions of which a ticket was used.
  absl::flat_hash_map<std::string, Holder> holders_;
  absl::Time next_forget_time_ = absl::InfinitePast();
};

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_HANDOVER_TICKET_BOOK_H_
