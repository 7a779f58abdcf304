// What the broker's files of certificates, keys and revocations say, read and checked as a whole before any of it is used.
//
// Thread safety: free functions.
#ifndef PYLABHUB_BROKER_ACCESS_TLS_MATERIAL_H_
#define PYLABHUB_BROKER_ACCESS_TLS_MATERIAL_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "proto/tls/certificate_set.h"
#include "proto/tls/revocation_list.h"

namespace pylabhub::broker {

// Where the files are.
struct CertificateFiles {
  tls::TlsPaths paths = {};
  // Of the form in proto/tls/revocations; empty: none.
  std::string revocations = {};
  // Whether `revocations` may be missing, which revokes nobody. One that was there and is gone is missed all the same.
  bool revocations_may_be_missing = false;
  // Lists (CRL) of the authorities in PEM; empty: none.
  std::string crl = {};
};

// What they hold, as it stands there.
struct TlsTexts {
  tls::TlsFiles files = {};
  std::string revocations = {};
  bool has_revocations = false;
  std::string crl = {};

  bool operator==(const TlsTexts& other) const;
};

// What the file system says of the files without reading them: it changes with what they hold, unless a file is written
// twice within one tick of the file system's clock.
struct FileStamps {
  // Of each file in turn: device, inode, bytes, and when it was changed in nanoseconds; zeroes for one that is missing.
  std::vector<int64_t> facts = {};
  absl::Time last_change = absl::InfinitePast();

  bool operator==(const FileStamps&) const = default;
};
FileStamps StampsOf(const CertificateFiles& files);

// Errors: each names the file and what to do.
//   kNotFound, kPermissionDenied  a file is not there, or cannot be read
//   kFailedPrecondition           others can read the key, or it belongs to another user
absl::StatusOr<TlsTexts> ReadTlsTexts(const CertificateFiles& files);

// What they mean.
struct TlsMaterial {
  tls::TlsFiles files = {};
  tls::RevocationList revocations = {};
  std::string server_serial = {};
  absl::Time server_not_before = absl::InfinitePast();
  absl::Time server_expire_time = absl::InfiniteFuture();
  // Of the authority that is good for longest.
  absl::Time ca_not_before = absl::InfinitePast();
  absl::Time ca_expire_time = absl::InfiniteFuture();
};

// Errors: each names the file.
//   kInvalidArgument  no certificates, keys or revocations; a key that does not belong; a certificate that is none for
//                     servers, or an authority's that is none
absl::StatusOr<TlsMaterial> ReadTlsMaterial(const TlsTexts& texts, const CertificateFiles& files);

// Errors:
//   kFailedPrecondition  by `now`, the server's certificate is not valid yet, or has expired; or every authority's
absl::Status CheckDates(const TlsMaterial& material, absl::Time now);

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_ACCESS_TLS_MATERIAL_H_
