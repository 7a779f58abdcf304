#include "broker/session_book.h"

#include "absl/strings/str_cat.h"
#include "broker/refusal.h"

namespace pylabhub::broker {

absl::StatusOr<Session*> SessionBook::Find(const Caller& caller) {
  Session* session = FindAnybodys(caller.session_id);
  if (session == nullptr || session->identity == caller.identity) return session;
  return Refuse(Reason::kSessionNotYours,
                absl::StrCat("this session id belongs to another identity than \"", caller.identity,
                             "\"; make a new one at random"),
                {{"identity", caller.identity}});
}

Session* SessionBook::FindAnybodys(absl::string_view session_id) {
  const auto found = sessions_.find(session_id);
  return found == sessions_.end() ? nullptr : &found->second;
}

Session& SessionBook::Open(const Caller& caller, absl::Time now) {
  Session& session = sessions_[caller.session_id];
  session.id = caller.session_id;
  session.identity = caller.identity;
  session.create_time = now;
  session.lease_expire_time = now + lease_ttl_;
  by_expiry_.emplace(session.lease_expire_time, session.id);
  return session;
}

void SessionBook::Renew(Session& session, absl::Time now) {
  by_expiry_.erase({session.lease_expire_time, session.id});
  session.lease_expire_time = now + lease_ttl_;
  by_expiry_.emplace(session.lease_expire_time, session.id);
}

std::optional<Session> SessionBook::PopExpired(absl::Time now) {
  if (by_expiry_.empty() || by_expiry_.begin()->first > now) return std::nullopt;
  const auto found = sessions_.find(by_expiry_.begin()->second);
  by_expiry_.erase(by_expiry_.begin());
  Session expired = std::move(found->second);
  sessions_.erase(found);
  return expired;
}

absl::Time SessionBook::NextExpiry() const {
  return by_expiry_.empty() ? absl::InfiniteFuture() : by_expiry_.begin()->first;
}

void SessionBook::GiveBack(absl::Duration stall) {
  by_expiry_.clear();
  for (auto& [id, session] : sessions_) {
    session.lease_expire_time += stall;
    by_expiry_.emplace(session.lease_expire_time, id);
  }
}

}  // namespace pylabhub::broker
