// What the registry takes from those who have lost a right.
#include <string>
#include <vector>

#include "broker/channel_registry.h"

namespace pylabhub::broker {

Revoked ChannelRegistry::RevokeSessions(absl::FunctionRef<bool(const SessionHolder&)> is_revoked,
                                        absl::Time now) {
  Expire(now);
  std::vector<std::string> ids;
  Revoked revoked;
  for (const auto& [number, session] : sessions_.by_number()) {
    if (!is_revoked({.identity = session->identity, .certificate_serial = session->certificate_serial}))
      continue;
    ids.push_back(session->id);
    revoked.channels += session->channels.size();
    revoked.consumers += session->consumers.size();
  }
  revoked.sessions = ids.size();
  for (const std::string& id : ids) {
    EndSession(sessions_.Remove(id), CloseReason::kRevoked, LeaveReason::kRevoked, now);
  }
  ForgetClosed(now);
  return revoked;
}

Revoked ChannelRegistry::RevokeChannels(
    absl::FunctionRef<bool(absl::string_view, absl::string_view)> is_revoked, absl::Time now) {
  Expire(now);
  Revoked revoked;
  for (const auto& [name, kept] : table_.records()) {
    if (kept.state == ChannelState::kClosing || !is_revoked(kept.producer_identity, name)) continue;
    Record& record = *table_.Find(name);
    sessions_.FindAnybodys(record.session_id)->channels.erase(name);
    table_.Close(record, CloseReason::kRevoked, now);
    ++revoked.channels;
  }
  return revoked;
}

Revoked ChannelRegistry::RevokeConsumers(
    absl::FunctionRef<bool(absl::string_view, absl::string_view)> is_revoked, absl::Time now) {
  Expire(now);
  Revoked revoked;
  for (const auto& [name, kept] : table_.records()) {
    std::vector<ConsumerKey> keys;
    for (const auto& [key, consumer] : kept.consumers) {
      if (is_revoked(consumer.identity, name)) keys.push_back(key);
    }
    for (const ConsumerKey& key : keys) {
      EndConsumer(*sessions_.FindAnybodys(key.session_id), *table_.Find(name), key, LeaveReason::kRevoked,
                  now);
    }
    revoked.consumers += keys.size();
  }
  ForgetClosed(now);
  return revoked;
}

}  // namespace pylabhub::broker
