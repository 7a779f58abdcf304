#include "broker/peer_identity.h"

#include <grpc/grpc_security_constants.h>

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "broker/refusal.h"
#include "proto/tls/identity.h"

namespace pylabhub::broker {
namespace {

constexpr size_t kMaxRemembered = 4096;

absl::StatusOr<std::shared_ptr<const PeerIdentity>> Read(absl::string_view certificate_pem) {
  absl::StatusOr<std::string> name = tls::IdentityOf(certificate_pem);
  if (!name.ok()) {
    return Refuse(Reason::kNoIdentity,
                  absl::StrCat("the client certificate names nobody (", name.status().message(),
                               "); use one with a SPIFFE URI, a DNS name or a common name"));
  }
  const auto summary = tls::Summarize(certificate_pem);
  if (!summary.ok()) return Refuse(Reason::kNoIdentity, summary.status().message());
  return std::make_shared<const PeerIdentity>(
      PeerIdentity{*std::move(name), summary->not_before, summary->expire_time, summary->serial});
}

}  // namespace

absl::StatusOr<std::shared_ptr<const PeerIdentity>> PeerIdentifier::Identify(
    const grpc::AuthContext& context) {
  const std::vector<grpc::string_ref> values = context.FindPropertyValues(GRPC_X509_PEM_CERT_PROPERTY_NAME);
  // The listener demands a certificate, so this is a misconfigured server rather than a caller's fault.
  if (values.size() != 1)
    return Refuse(Reason::kNoIdentity, "no client certificate came with the connection");
  return Identify(absl::string_view(values[0].data(), values[0].size()));
}

absl::StatusOr<std::shared_ptr<const PeerIdentity>> PeerIdentifier::Identify(
    absl::string_view certificate_pem) {
  {
    absl::MutexLock lock(&mutex_);
    if (const auto found = known_.find(certificate_pem); found != known_.end()) return found->second;
  }
  auto identity = Read(certificate_pem);
  if (!identity.ok()) return identity;
  absl::MutexLock lock(&mutex_);
  if (known_.size() >= kMaxRemembered) known_.clear();
  known_.emplace(certificate_pem, *identity);
  return identity;
}

std::vector<std::shared_ptr<const PeerIdentity>> PeerIdentifier::Seen() {
  absl::MutexLock lock(&mutex_);
  std::vector<std::shared_ptr<const PeerIdentity>> seen;
  seen.reserve(known_.size());
  for (const auto& [pem, identity] : known_) seen.push_back(identity);
  return seen;
}

}  // namespace pylabhub::broker
