// Which certificates and identities may not be used any more, and why: a file for people and tools
// (revocations/revocations.proto), and lists (CRL) of an authority.
//
// Thread safety: thread-compatible.
#ifndef PYLABHUB_PROTO_TLS_REVOCATION_LIST_H_
#define PYLABHUB_PROTO_TLS_REVOCATION_LIST_H_

#include <map>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace pylabhub::tls {

struct Revocation {
  std::string reason = {};
  absl::Time time = absl::InfinitePast();  // InfinitePast: not stated
};

class RevocationList {
 public:
  // Reads a file's text; `file_name` is named in errors.
  //
  // Errors:
  //   kInvalidArgument  each fault with its file, line and column where it has them
  static absl::StatusOr<RevocationList> Parse(absl::string_view text, absl::string_view file_name);

  // The same as a file, but for what came from CRLs, in an order of its own.
  std::string ToText() const;

  // Adds to it; a second reason for the same subject is dropped. False if it was there.
  //
  // Errors:
  //   kInvalidArgument  no serial number (serial.h); an empty identity
  absl::StatusOr<bool> AddSerial(absl::string_view serial, Revocation revocation);
  absl::StatusOr<bool> AddIdentity(absl::string_view identity, Revocation revocation);

  // Adds what the lists in `crl_pem` (one or several) revoke. Each must be signed by a certificate of `ca_pem`.
  //
  // Errors:
  //   kInvalidArgument  no list, or one of an authority that is not there, or not signed by it
  absl::Status AddCrl(absl::string_view crl_pem, absl::string_view ca_pem);

  // Null unless the serial (as in serial.h) or the identity is revoked.
  const Revocation* Find(absl::string_view serial, absl::string_view identity) const;

  bool empty() const { return size() == 0; }
  size_t size() const { return by_serial_.size() + by_identity_.size() + by_crl_serial_.size(); }

 private:
  // In order, for the file.
  std::map<std::string, Revocation, std::less<>> by_serial_;
  std::map<std::string, Revocation, std::less<>> by_identity_;
  absl::flat_hash_map<std::string, Revocation> by_crl_serial_;
};

}  // namespace pylabhub::tls

#endif  // PYLABHUB_PROTO_TLS_REVOCATION_LIST_H_
