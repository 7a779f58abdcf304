#include "broker/access/certificate_standing.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "broker/refusal.h"

namespace pylabhub::broker {
namespace {

constexpr char kRefusals[] = "pylabhub_broker_certificate_refusals_total";
constexpr char kRefusalsHelp[] =
    "Calls and streams refused since their certificate was revoked or has expired.";

absl::Status RefuseCertificate(absl::string_view identity, absl::string_view serial, absl::string_view why) {
  return Refuse(Reason::kCertificateRevoked,
                absl::StrCat("the certificate ", serial, " of \"", identity, "\" ", why,
                             "; get another one and connect again"),
                {{"identity", std::string(identity)}});
}

}  // namespace

CertificateStanding::CertificateStanding(Metrics& metrics)
    : revoked_(metrics.AddCounter(kRefusals, kRefusalsHelp, {{"reason", "revoked"}})),
      expired_(metrics.AddCounter(kRefusals, kRefusalsHelp, {{"reason", "expired"}})) {}

absl::Status CertificateStanding::Check(absl::string_view identity, absl::string_view serial,
                                        absl::Time expire_time, absl::Time now) const {
  if (now >= expire_time) {
    expired_.Increment();
    return RefuseCertificate(identity, serial, absl::StrCat("expired at ", absl::FormatTime(expire_time)));
  }
  const auto list = revocations();
  if (list->empty()) return absl::OkStatus();
  const tls::Revocation* const found = list->Find(serial, identity);
  if (found == nullptr) return absl::OkStatus();
  revoked_.Increment();
  return RefuseCertificate(
      identity, serial,
      found->reason.empty() ? std::string("is revoked") : absl::StrCat("is revoked (", found->reason, ")"));
}

}  // namespace pylabhub::broker
