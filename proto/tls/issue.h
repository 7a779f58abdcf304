// A private certificate authority and the leaf certificates that it signs: P-256 keys, SHA-256 signatures,
// X.509 v3.
//
// For a lab that has no authority of its own, and for tests. Nothing here touches a file; certificate_set.h
// does.
//
// Thread safety: free functions with no shared state.
// Errors:        kInvalidArgument names the field that is wrong; kInternal is OpenSSL's refusal, with its
//                reason.
#ifndef PYLABHUB_PROTO_TLS_ISSUE_H_
#define PYLABHUB_PROTO_TLS_ISSUE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace pylabhub::tls {

// A certificate and the private key that belongs to it, both PEM. The key is secret.
struct Credential {
  std::string certificate_pem;
  std::string key_pem;
};

// The time in which a certificate is good. It may lie in the past: tests need expired ones.
struct Validity {
  absl::Time not_before;
  absl::Time expire_time;
};

// From an hour ago, so that a host whose clock is a little behind accepts it, until `duration` from now.
Validity ValidFor(absl::Duration duration);

enum class LeafUse { kServer, kClient };

struct LeafSpec {
  LeafUse use = LeafUse::kClient;
  std::string common_name = {};                // 1 to 64 bytes
  std::vector<std::string> dns_names = {};     // "localhost", "*.lab.example"
  std::vector<std::string> ip_addresses = {};  // "127.0.0.1", "::1"
  std::vector<std::string> uris = {};          // "spiffe://lab.example/sampler"
  Validity validity = ValidFor(absl::Hours(24 * 730));
};

// A self-signed authority that may sign leaves and nothing below them.
absl::StatusOr<Credential> MakeAuthority(absl::string_view common_name, const Validity& validity);

// A leaf signed by `authority`, with a fresh key and a random serial number.
absl::StatusOr<Credential> IssueLeaf(const Credential& authority, const LeafSpec& spec);

// What the first certificate of `certificate_pem` was made of, so that it can be issued anew: its names and its use, with
// the default validity.
//
// Errors:
//   kInvalidArgument  not a PEM certificate, or one with names that a LeafSpec cannot say
absl::StatusOr<LeafSpec> SpecOf(absl::string_view certificate_pem);

// OK when `key_pem` is the private key of the first certificate in `certificate_pem`.
absl::Status CheckKeyBelongs(absl::string_view certificate_pem, absl::string_view key_pem);

}  // namespace pylabhub::tls

#endif  // PYLABHUB_PROTO_TLS_ISSUE_H_
