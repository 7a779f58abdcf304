// A folder of certificates, as broker and client find it on disk:
//
//   ca.pem      the authority's certificate: every participant needs it
//   ca.key      the authority's private key: keep it off-line, or at least off the clients' hosts
//   server.pem  server.key   the broker's certificate and key
//   client.pem  client.key   a client's certificate and key; copy them and ca.pem to the client's host
//   revocations.textproto    once somebody is revoked: who (revocation_list.h)
//
// The folder has mode 0700, each file 0600. A host that is only a client needs ca.pem, client.pem and
// client.key; a set from a site's own authority works as well, as long as the files have these names or their
// paths are given.
//
// Thread safety: free functions; two processes that create one set at once do not mix: one wins, the other
//                is told so.
#ifndef PYLABHUB_PROTO_TLS_CERTIFICATE_SET_H_
#define PYLABHUB_PROTO_TLS_CERTIFICATE_SET_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "proto/tls/issue.h"

namespace pylabhub::tls {

// Where one side's three files are.
struct TlsPaths {
  std::string ca_certificate;
  std::string certificate;
  std::string key;
};

TlsPaths ServerPathsIn(absl::string_view folder);
TlsPaths ClientPathsIn(absl::string_view folder);
std::string RevocationsPathIn(absl::string_view folder);

// What one side of a mutual TLS connection holds, all PEM. The key is secret.
struct TlsFiles {
  std::string ca_certificate_pem;
  std::string certificate_pem;
  std::string key_pem;
};

// Reads the three files and checks that they are what they should be: certificates that parse, a key that
// nobody else can read and that belongs to the certificate. Dates are not checked: the peer does that, with
// its own clock.
//
// Errors: each names the file and what to do.
//   kNotFound            a file is not there
//   kPermissionDenied    a file cannot be read
//   kFailedPrecondition  others can read the key, or it belongs to another user
//   kInvalidArgument     a file is not what it should be
absl::StatusOr<TlsFiles> LoadTlsFiles(const TlsPaths& paths);

struct CertificateSetOptions {
  std::string authority_name = "pylabhub private CA";
  // The broker's names beside "localhost", 127.0.0.1 and ::1: host names or addresses by which clients dial
  // it.
  std::vector<std::string> server_names = {};
  // The client's identity: a SPIFFE URI, or a plain name (which becomes the common name).
  std::string client_identity = "spiffe://pylabhub.local/client";
  absl::Duration authority_validity = absl::Hours(24 * 3650);
  absl::Duration leaf_validity = absl::Hours(24 * 730);
};

// Makes a private authority, a server and a client certificate, in `folder`, which must not exist yet or be
// empty (its parent must exist). The whole set appears at once or not at all.
//
// Errors:
//   kAlreadyExists    the folder holds something already; nothing in it was touched
//   kInvalidArgument  a name in `options` is no name
//   others            as private_file.h
absl::Status CreateCertificateSet(const std::string& folder, const CertificateSetOptions& options = {});

// Issues one more leaf from the authority in `folder`, as `file_stem`.pem and `file_stem`.key in the same
// folder.
//
// Errors:
//   kAlreadyExists    one of the two files is there already; nothing was touched
//   kInvalidArgument  `file_stem` is not one of letters, digits, '.', '_' and '-', or `spec` is wrong
//   others            as LoadTlsFiles and IssueLeaf
absl::Status IssueInto(const std::string& folder, absl::string_view file_stem, const LeafSpec& spec);

// Issues the leaf `file_stem` of `folder` anew from the authority there: the same names and use, hence the same identity,
// with a new key, a new serial number and a new time. A broker that reads the files while they are replaced waits until
// they fit.
//
// Errors:
//   kNotFound         there is no such leaf
//   kInvalidArgument  it is the authority's own, or has names that cannot be issued here
//   others            as LoadTlsFiles and IssueLeaf
absl::Status RenewIn(const std::string& folder, absl::string_view file_stem, const Validity& validity);

// The spec of a client's leaf whose certificate proves `identity`: a SPIFFE URI, or a plain name.
LeafSpec ClientSpec(absl::string_view identity);

// The spec of a broker's leaf that is good for each of `names` (host names and addresses) and for this host's
// loopback.
LeafSpec ServerSpec(const std::vector<std::string>& names);

}  // namespace pylabhub::tls

#endif  // PYLABHUB_PROTO_TLS_CERTIFICATE_SET_H_
