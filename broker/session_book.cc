#include "broker/session_book.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "broker/refusal.h"

namespace pylabhub::broker {
namespace {

// Fewer sessions than this may well all end at once: a rack is switched off.
constexpr size_t kLeastHeld = 10;

}  // namespace

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
  SessionRecord record = {.id = caller.session_id,
                          .identity = caller.identity,
                          .create_time = now,
                          .certificate_serial = caller.certificate_serial};
  changes_.push_back({SessionKeyOf(record.id), record});
  return Restore(std::move(record), now);
}

Session& SessionBook::Restore(SessionRecord kept, absl::Time now) {
  Session& session = sessions_[kept.id];
  session.id = std::move(kept.id);
  session.identity = std::move(kept.identity);
  session.certificate_serial = std::move(kept.certificate_serial);
  session.number = ++last_number_;
  by_number_.emplace(session.number, &session);
  session.create_time = kept.create_time;
  session.renew_time = now;
  SetExpiry(session, now + lease_ttl_);
  return session;
}

void SessionBook::NoteCertificate(Session& session, absl::string_view certificate_serial) {
  if (certificate_serial.empty() || session.certificate_serial == certificate_serial) return;
  session.certificate_serial = std::string(certificate_serial);
  changes_.push_back(
      {SessionKeyOf(session.id), SessionRecord{.id = session.id,
                                               .identity = session.identity,
                                               .create_time = session.create_time,
                                               .certificate_serial = session.certificate_serial}});
}

void SessionBook::Renew(Session& session, absl::Time now) {
  session.held = false;
  session.renew_time = now;
  SetExpiry(session, now + lease_ttl_);
}

void SessionBook::SetExpiry(Session& session, absl::Time time) {
  by_expiry_.erase({session.lease_expire_time, session.id});
  session.lease_expire_time = time;
  by_expiry_.emplace(time, session.id);
}

std::optional<Session> SessionBook::PopExpired(absl::Time now) {
  if (NextExpiry() <= now && NextExpiry() > may_end_until_) HoldIfTooMany();
  if (NextExpiry() > now) return std::nullopt;
  return Remove(by_expiry_.begin()->second);
}

Session SessionBook::Remove(absl::string_view session_id) {
  const auto found = sessions_.find(session_id);
  by_expiry_.erase({found->second.lease_expire_time, found->second.id});
  by_number_.erase(found->second.number);
  Session removed = std::move(found->second);
  sessions_.erase(found);
  changes_.push_back({SessionKeyOf(removed.id), RemovedRecord{}});
  return removed;
}

void SessionBook::HoldIfTooMany() {
  may_end_until_ = NextExpiry() + heartbeat_interval_;
  std::vector<Session*> ending;
  for (const auto& [time, id] : by_expiry_) {
    if (time > may_end_until_) break;
    Session& session = sessions_.find(id)->second;
    if (!session.held) ending.push_back(&session);
  }
  if (ending.size() < kLeastHeld || ending.size() * 2 <= sessions_.size()) return;
  for (Session* session : ending) {
    session->held = true;
    SetExpiry(*session, session->lease_expire_time + lease_ttl_);
  }
  held_count_ += ending.size();
}

absl::Time SessionBook::NextExpiry() const {
  return by_expiry_.empty() ? absl::InfiniteFuture() : by_expiry_.begin()->first;
}

void SessionBook::GiveBack(absl::Duration stall) {
  may_end_until_ += stall;
  by_expiry_.clear();
  for (auto& [id, session] : sessions_) {
    session.lease_expire_time += stall;
    by_expiry_.emplace(session.lease_expire_time, id);
  }
}

}  // namespace pylabhub::broker
