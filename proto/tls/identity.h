// Who a certificate says its holder is: the one rule that broker and client share.
//
// The identity is, in this order:
//   1. the SPIFFE URI among the subject alternative names, as it stands ("spiffe://lab.example/sampler");
//      a certificate with two of them is refused;
//   2. else the first DNS name among the subject alternative names, in lower case ("sampler.lab.example");
//   3. else the subject's common name, as it stands ("sampler"); a subject with two of them is refused.
// Other URIs, addresses and e-mail names are no identity. A DNS or common name that contains "://" is
// refused, so that it cannot be taken for a URI; so is one that is empty, longer than 2048 bytes, or holds a
// control character.
//
// The rule reads a certificate that the TLS handshake has verified already: it checks no signature and no
// date.
//
// Thread safety: free functions with no shared state.
#ifndef PYLABHUB_PROTO_TLS_IDENTITY_H_
#define PYLABHUB_PROTO_TLS_IDENTITY_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace pylabhub::tls {

// The identity that the first certificate of `certificate_pem` (a leaf, or a chain that starts with it)
// proves.
//
// Errors:
//   kInvalidArgument  not a PEM certificate, or none of the three names is there, or the one that counts is
//   refused above
absl::StatusOr<std::string> IdentityOf(absl::string_view certificate_pem);

// What a person asks of a certificate.
struct CertificateSummary {
  std::string identity;  // empty when IdentityOf refuses it
  std::string subject;   // RFC 2253
  std::string issuer;    // RFC 2253
  absl::Time not_before;
  absl::Time expire_time;
  std::string serial;  // as in serial.h
  // As OpenSSL writes them: "DNS:localhost", "IP Address:127.0.0.1", "URI:spiffe://lab.example/sampler".
  std::vector<std::string> alternative_names;
  bool is_authority = false;  // may sign others
  bool may_serve = false;     // as a server
  bool may_call = false;      // as a client
};

// Errors:
//   kInvalidArgument  not a PEM certificate
absl::StatusOr<CertificateSummary> Summarize(absl::string_view certificate_pem);

// Every certificate of a chain or a bundle, in its order; at least one.
//
// Errors:
//   kInvalidArgument  no PEM certificate, or one of them cannot be read
absl::StatusOr<std::vector<CertificateSummary>> SummarizeAll(absl::string_view pem);

}  // namespace pylabhub::tls

#endif  // PYLABHUB_PROTO_TLS_IDENTITY_H_
