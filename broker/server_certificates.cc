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
  fs::create_directories(fs::path(folder).parent_path(), error);
  if (error) {
    return absl::FailedPreconditionError(absl::StrCat("cannot make the folder above ", folder, ": ",
                                                      error.message(), "; choose another with --state-dir"));
  }
  return tls::MakePrivateFolder(folder);
}

}  // namespace

absl::StatusOr<tls::TlsFiles> LoadOrMakeCertificates(const CertificateSource& source, const LogHook& log) {
  if (!source.given.certificate.empty()) return tls::LoadTlsFiles(source.given);
  if (absl::Status status = MakeStateFolder(source.state_dir); !status.ok()) return status;
  const std::string folder = source.state_dir + "/certs";
  std::error_code ignored;
  if (fs::exists(folder, ignored)) {
    log({LogLevel::kInfo, "certificates_found", {{"folder", folder}}});
    return tls::LoadTlsFiles(tls::ServerPathsIn(folder));
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
  return tls::LoadTlsFiles(tls::ServerPathsIn(folder));
}

}  // namespace pylabhub::broker
