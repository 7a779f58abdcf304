// Serial numbers of certificates as text, the one form that files, logs and messages use: lower-case hexadecimal digits
// without leading zeros.
//
// Thread safety: free functions with no shared state.
#ifndef PYLABHUB_PROTO_TLS_SERIAL_H_
#define PYLABHUB_PROTO_TLS_SERIAL_H_

#include <openssl/asn1.h>

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace pylabhub::tls {

// Empty if OpenSSL cannot read it.
std::string SerialText(const ASN1_INTEGER* number);

// Brings what a person copied from another tool into that form: "1F:3A", "0x1f3a", "serial=1F3A".
//
// Errors:
//   kInvalidArgument  not such a number
absl::StatusOr<std::string> ParseSerial(absl::string_view text);

}  // namespace pylabhub::tls

#endif  // PYLABHUB_PROTO_TLS_SERIAL_H_
