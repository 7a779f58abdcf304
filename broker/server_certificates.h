// Where the broker's certificates come from: files that it was given, or a private set that it makes on its
// first start, so that a lab is secure with no work.
#ifndef PYLABHUB_BROKER_SERVER_CERTIFICATES_H_
#define PYLABHUB_BROKER_SERVER_CERTIFICATES_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "broker/access/tls_material.h"
#include "broker/log_hook.h"
#include "proto/tls/certificate_set.h"

namespace pylabhub::broker {

struct CertificateSource {
  // All three, or all empty.
  tls::TlsPaths given = {};
  // Who is revoked; empty: beside a private set, if that is used.
  std::string revocations = {};
  std::string crl = {};
  // Made with mode 0700 if it is not there; the private set is its folder "certs".
  std::string state_dir = {};
  // Further names of the broker in a set that is made now.
  std::vector<std::string> server_names = {};
};

// Says to `log` where a private set is, and what to copy to clients.
//
// Errors: those of proto/tls/certificate_set.h; each names the file and what to do.
absl::StatusOr<CertificateFiles> FindOrMakeCertificates(const CertificateSource& source, const LogHook& log);

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_SERVER_CERTIFICATES_H_
