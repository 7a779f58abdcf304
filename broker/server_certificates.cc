#include "broker/server_certificates.h"

#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "proto/tls/private_file.h"

namespace pylabhub::broker {
namespace {

namespace fs = std::filesystem;

absl::Status MakeStateFolder(const std::string& folder) {
  std::error_code error;
  fs::create_directories(fs::absolute(folder).lexically_normal().parent_path(), error);
  if (error) {
    return absl::FailedPreconditionError(absl::StrCat("cannot make the folder above ", folder, ": ",
                                                      error.message(), "; choose another with --state-dir"));
  }
  return tls::MakePrivateFolder(folder);
}

}  // namespace

absl::StatusOr<CertificateFiles> FindOrMakeCertificates(const CertificateSource& source, const LogHook& log) {
  CertificateFiles files = {.paths = source.given, .revocations = source.revocations, .crl = source.crl};
  if (!source.given.certificate.empty()) return files;
  if (absl::Status status = MakeStateFolder(source.state_dir); !status.ok()) return status;
  const std::string folder = source.state_dir + "/certs";
  files.paths = tls::ServerPathsIn(folder);
  if (files.revocations.empty()) {
    files.revocations = tls::RevocationsPathIn(folder);
    files.revocations_may_be_missing = true;
  }
  std::error_code ignored;
  if (fs::exists(folder, ignored)) {
    log({LogLevel::kInfo, "certificates_found", {{"folder", folder}}});
    return files;
  }
  tls::CertificateSetOptions options;
  options.server_names = source.server_names;
  // Of two brokers that start at once, one makes the set and the other finds it.
  const absl::Status made = tls::CreateCertificateSet(folder, options);
  if (!made.ok() && !absl::IsAlreadyExists(made)) return made;
  const tls::TlsPaths client = tls::ClientPathsIn(folder);
  log({LogLevel::kInfo,
       "certificates_made",
       {{"folder", folder},
        {"client_identity", options.client_identity},
        {"copy_to_clients", absl::StrCat(client.ca_certificate, " ", client.certificate, " ", client.key)},
        {"keep_here", absl::StrCat(folder, "/ca.key ", folder, "/server.key")}}});
  return files;
}

}  // namespace pylabhub::broker
