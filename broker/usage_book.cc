#include "broker/usage_book.h"

#include "absl/strings/str_cat.h"
#include "broker/refusal.h"
#include "broker/validate.h"

namespace pylabhub::broker {
namespace {

// How long a caller waits before it asks again for something that somebody else must give back first.
constexpr absl::Duration kRetryDelay = absl::Seconds(5);

absl::Status CheckOne(absl::string_view name, int64_t held, int64_t more, uint64_t limit) {
  if (more <= 0 || static_cast<uint64_t>(held + more) <= limit) return absl::OkStatus();
  return RefuseBeyond(name, limit);
}

}  // namespace

Usage& Usage::operator+=(const Usage& other) {
  sessions += other.sessions;
  channels += other.channels;
  consumers += other.consumers;
  spec_bytes += other.spec_bytes;
  return *this;
}

Usage Usage::operator-() const { return {-sessions, -channels, -consumers, -spec_bytes}; }

absl::Status UsageBook::Check(absl::string_view identity, const Usage& more, absl::string_view former,
                              const Usage& freed) const {
  Usage total = total_;
  total += -freed;
  Usage own = Of(identity);
  // What is taken from somebody else makes room in the broker, not in the caller's own account.
  if (former == identity) own += -freed;
  absl::Status status = CheckOne("sessions", total.sessions, more.sessions, limits_.max_sessions);
  status.Update(CheckOne("channels", total.channels, more.channels, limits_.max_channels));
  status.Update(CheckOne("consumers", total.consumers, more.consumers, limits_.max_consumers));
  status.Update(
      CheckOne("sessions_per_identity", own.sessions, more.sessions, limits_.max_sessions_per_identity));
  status.Update(
      CheckOne("channels_per_identity", own.channels, more.channels, limits_.max_channels_per_identity));
  status.Update(
      CheckOne("consumers_per_identity", own.consumers, more.consumers, limits_.max_consumers_per_identity));
  status.Update(CheckOne("spec_bytes_per_identity", own.spec_bytes, more.spec_bytes,
                         limits_.max_spec_bytes_per_identity));
  return status;
}

void UsageBook::Add(absl::string_view identity, const Usage& more) {
  total_ += more;
  Usage& own = by_identity_[identity];
  own += more;
  if (own == Usage{}) by_identity_.erase(identity);
}

Usage UsageBook::Of(absl::string_view identity) const {
  const auto found = by_identity_.find(identity);
  return found == by_identity_.end() ? Usage{} : found->second;
}

absl::Status RefuseBeyond(absl::string_view name, uint64_t value) {
  return Refuse(
      Reason::kLimitExceeded,
      absl::StrCat("the limit ", name, " = ", value, " is reached; give something up, or try again later"),
      {{"limit", std::string(name)}, {"value", absl::StrCat(value)}}, kRetryDelay);
}

std::map<std::string, uint64_t> NamedLimits(const Limits& limits) {
  return {
      {"sessions", limits.max_sessions},
      {"channels", limits.max_channels},
      {"consumers", limits.max_consumers},
      {"consumers_per_channel", limits.max_consumers_per_channel},
      {"sessions_per_identity", limits.max_sessions_per_identity},
      {"channels_per_identity", limits.max_channels_per_identity},
      {"consumers_per_identity", limits.max_consumers_per_identity},
      {"spec_bytes_per_identity", limits.max_spec_bytes_per_identity},
      {"schemas", limits.max_schemas},
      {"versions_per_schema", limits.max_versions_per_schema},
      {"schema_bytes_per_identity", limits.max_schema_bytes_per_identity},
      {"calls_per_second_per_identity", limits.max_calls_per_second_per_identity},
      {"call_burst_per_identity", limits.max_call_burst_per_identity},
      {"watchers", limits.max_watchers},
      {"watchers_per_identity", limits.max_watchers_per_identity},
      {"metadata_bytes", kMaxMetadataBytes},
      {"metadata_entries", kMaxMetadataEntries},
      {"schema_bytes", kMaxSchemaBytes},
      {"names_per_discover", kMaxNamesPerDiscover},
      {"sessions_per_heartbeat", kMaxSessionsPerHeartbeat},
  };
}

}  // namespace pylabhub::broker
