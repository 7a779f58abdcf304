// Files and folders that hold secrets: written for their owner alone, and refused when others can read them.
//
// Thread safety: free functions; two writers of one path do not mix their bytes, the last to finish wins.
// Errors:        each names the path and what to do; kNotFound, kPermissionDenied, kFailedPrecondition
//                (mode or owner), kResourceExhausted (disk full), kInvalidArgument (not a file),
//                kUnavailable (anything else).
#ifndef PYLABHUB_PROTO_TLS_PRIVATE_FILE_H_
#define PYLABHUB_PROTO_TLS_PRIVATE_FILE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace pylabhub::tls {

// Makes `folder` (its parent must exist) with mode 0700. An existing folder of ours is kept, with the mode
// that it has.
absl::Status MakePrivateFolder(const std::string& folder);

// Writes a file with mode 0600, whole or not at all: a new file beside it, flushed to disk, then renamed over
// it.
absl::Status WritePrivateFile(const std::string& path, absl::string_view contents);

// The same with mode 0644, for what is no secret.
absl::Status WritePublicFile(const std::string& path, absl::string_view contents);

// Reads a file of at most 1 MiB that anybody may be able to read: a certificate.
absl::StatusOr<std::string> ReadPublicFile(const std::string& path);

// Reads a file of at most 1 MiB that holds a secret: a key. Refuses it (kFailedPrecondition, with the chmod
// that mends it) unless it belongs to this user and nobody else has any access, or belongs to root and its
// group may at most read it (how orchestrators mount secrets).
absl::StatusOr<std::string> ReadPrivateFile(const std::string& path);

// A status for `error` (an errno) met while doing `what` to `path`: "cannot read /x/ca.pem: No such file or
// directory".
absl::Status FileError(absl::string_view what, absl::string_view path, int error);

}  // namespace pylabhub::tls

#endif  // PYLABHUB_PROTO_TLS_PRIVATE_FILE_H_
