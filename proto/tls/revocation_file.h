// The file of revocations, changed by one writer at a time.
//
// Thread safety: free functions; two processes that change one file wait for each other.
#ifndef PYLABHUB_PROTO_TLS_REVOCATION_FILE_H_
#define PYLABHUB_PROTO_TLS_REVOCATION_FILE_H_

#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/tls/revocation_list.h"

namespace pylabhub::tls {

// Reads the file (one that is missing revokes nobody), lets `change` change what it says, and writes that if `change`
// answers true: whole or not at all, and readable by everybody who may enter the folder. Comments in it are lost.
//
// Errors: those of `change`, and
//   kInvalidArgument  the file has a fault, which is named with its place; it was left as it is
//   others            as private_file.h
absl::StatusOr<bool> ChangeRevocations(const std::string& path,
                                       absl::FunctionRef<absl::StatusOr<bool>(RevocationList&)> change);

}  // namespace pylabhub::tls

#endif  // PYLABHUB_PROTO_TLS_REVOCATION_FILE_H_
