#include "broker/handover/ticket_book.h"

#include "absl/strings/str_cat.h"
#include "broker/refusal.h"

namespace pylabhub::broker {
namespace {

// A session that has asked for no ticket for so long is gone, or is taken for a new one.
constexpr absl::Duration kHolderTtl = absl::Hours(24);

absl::Status Invalid(absl::string_view why) {
  return Refuse(Reason::kTicketInvalid,
                absl::StrCat("the ticket ", why, "; register again for a new one, and use it once"));
}

}  // namespace

Ticket TicketBook::Issue(const TicketScope& scope, absl::Time now) {
  DropExpired(now);
  Remember(scope.session_id, now);
  const auto out = by_scope_.find(scope);
  if (out != by_scope_.end()) {
    const Entry& entry = tickets_.at(out->second);
    if (entry.expire_time - now >= ttl_ / 2) return {.bytes = out->second, .expire_time = entry.expire_time};
    // By value: what Drop is given must outlive the entries that it removes.
    Drop(std::string(out->second));
  }
  const std::string bytes = make_bytes_();
  const absl::Time expire_time = now + ttl_;
  tickets_[bytes] = {.scope = scope, .expire_time = expire_time};
  by_scope_[scope] = bytes;
  by_expire_time_.emplace(expire_time, bytes);
  return {.bytes = bytes, .expire_time = expire_time};
}

absl::StatusOr<TicketScope> TicketBook::Check(absl::string_view ticket, TicketPurpose purpose, uid_t uid,
                                              absl::Time now) {
  DropExpired(now);
  const std::string key(ticket);
  const auto found = tickets_.find(key);
  if (found == tickets_.end()) return Invalid("is unknown, was used, or has ended");
  const TicketScope scope = found->second.scope;
  const auto holder = holders_.find(scope.session_id);
  if (holder != holders_.end() && holder->second.uid != uid) {
    Drop(key);
    return Invalid("is another user's");
  }
  if (scope.purpose != purpose) return Invalid("is for something else");
  return scope;
}

void TicketBook::Use(absl::string_view ticket, uid_t uid) {
  const std::string key(ticket);
  const auto found = tickets_.find(key);
  if (found == tickets_.end()) return;
  const absl::Time issue_time = found->second.expire_time - ttl_;
  holders_.try_emplace(found->second.scope.session_id, Holder{.uid = uid, .last_issue_time = issue_time});
  Drop(key);
}

void TicketBook::DropExpired(absl::Time now) {
  while (!by_expire_time_.empty() && by_expire_time_.begin()->first <= now) {
    Drop(std::string(by_expire_time_.begin()->second));
  }
  if (now < next_forget_time_) return;
  next_forget_time_ = now + kHolderTtl / 24;
  absl::erase_if(holders_,
                 [&](const auto& holder) { return holder.second.last_issue_time < now - kHolderTtl; });
}

void TicketBook::Drop(const std::string& ticket) {
  const auto found = tickets_.find(ticket);
  if (found == tickets_.end()) return;
  by_scope_.erase(found->second.scope);
  const auto [begin, end] = by_expire_time_.equal_range(found->second.expire_time);
  for (auto next = begin; next != end; ++next) {
    if (next->second != ticket) continue;
    by_expire_time_.erase(next);
    break;
  }
  tickets_.erase(found);
}

void TicketBook::Remember(const std::string& session_id, absl::Time now) {
  const auto holder = holders_.find(session_id);
  if (holder != holders_.end()) holder->second.last_issue_time = now;
}

}  // namespace pylabhub::broker
