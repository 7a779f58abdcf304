#include "broker/access/expiry_watch.h"

#include <algorithm>
#include <utility>

namespace pylabhub::broker {
namespace {

constexpr absl::Duration kDay = absl::Hours(24);
// Enough for the clients of one broker; then what was said is said again.
constexpr size_t kMaxRemembered = 8192;

}  // namespace

ExpiryWatch::Stage ExpiryWatch::StageOf(const CertificateInUse& certificate, absl::Time now) {
  const absl::Duration lifetime = certificate.expire_time - certificate.not_before;
  const absl::Duration left = certificate.expire_time - now;
  if (left <= absl::ZeroDuration()) return Stage::kExpired;
  if (left <= std::min(lifetime / 20, 7 * kDay)) return Stage::kVerySoon;
  if (left <= std::min(lifetime / 5, 30 * kDay)) return Stage::kSoon;
  return Stage::kGood;
}

void ExpiryWatch::Look(const CertificateInUse& certificate, absl::Time now) {
  const Stage stage = StageOf(certificate, now);
  if (stage == Stage::kGood) return;
  if (said_.size() >= kMaxRemembered) said_.clear();
  Stage& said = said_[{certificate.role, certificate.serial}];
  if (said >= stage) return;
  said = stage;
  if (!log_) return;
  const bool expired = stage == Stage::kExpired;
  LogRecord record = {.level = expired ? LogLevel::kError : LogLevel::kWarning,
                      .event = expired ? "certificate_expired" : "certificate_expires_soon",
                      .fields = {{"certificate", certificate.role}, {"serial", certificate.serial}}};
  if (!certificate.identity.empty()) record.fields.emplace_back("identity", certificate.identity);
  record.fields.emplace_back("expire_time", absl::FormatTime(certificate.expire_time));
  if (!expired)
    record.fields.emplace_back(
        "left", absl::FormatDuration(absl::Trunc(certificate.expire_time - now, absl::Seconds(1))));
  log_(record);
}

}  // namespace pylabhub::broker
