// Messenger::Connect: the only part of the Messenger that knows certificates and gRPC.
#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/error_reason.h"
#include "client/grpc_broker_connection.h"
#include "client/messenger.h"
#include "proto/tls/certificate_set.h"
#include "proto/tls/identity.h"

namespace pylabhub {
namespace {

constexpr absl::string_view kUnixScheme = "unix:";
constexpr size_t kMaxUnixPathBytes = 107;

absl::Status CheckAddress(const std::string& address) {
  absl::Status bad = absl::InvalidArgumentError(
      absl::StrCat("address '", address, "' is not \"host:port\", \"[ipv6]:port\" or \"unix:/path\""));
  if (absl::StartsWith(address, kUnixScheme)) {
    const size_t path_bytes = address.size() - kUnixScheme.size();
    if (path_bytes > kMaxUnixPathBytes) {
      return absl::InvalidArgumentError(absl::StrCat("address '", address, "': the path has ", path_bytes,
                                                     " bytes, and a Unix socket's may have ",
                                                     kMaxUnixPathBytes));
    }
    return path_bytes > 0 ? absl::OkStatus() : bad;
  }
  const size_t colon = address.rfind(':');
  int port = 0;
  if (colon == std::string::npos || !absl::SimpleAtoi(address.substr(colon + 1), &port) || port < 1 ||
      port > 65'535) {
    return bad;
  }
  const std::string host = address.substr(0, colon);
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  const bool clean = std::all_of(host.begin(), host.end(), [](unsigned char c) {
    return absl::ascii_isgraph(c) && c != '/' && c != ',';
  });
  // An IPv6 address without brackets would make its last group the port.
  if (host.empty() || !clean || (!bracketed && absl::StrContains(host, ':'))) return bad;
  return absl::OkStatus();
}

absl::StatusOr<tls::TlsPaths> PathsOf(const ConnectOptions& options) {
  tls::TlsPaths paths;
  if (!options.certificates_folder.empty()) paths = tls::ClientPathsIn(options.certificates_folder);
  if (!options.ca_certificate_path.empty()) paths.ca_certificate = options.ca_certificate_path;
  if (!options.certificate_path.empty()) paths.certificate = options.certificate_path;
  if (!options.key_path.empty()) paths.key = options.key_path;
  if (paths.ca_certificate.empty() || paths.certificate.empty() || paths.key.empty()) {
    return absl::InvalidArgumentError(
        "no certificates given: set certificates_folder (with ca.pem, client.pem and client.key), or all "
        "three of "
        "ca_certificate_path, certificate_path and key_path");
  }
  return paths;
}

// What a person can do about a connection that failed, from what gRPC says of it.
std::string Mend(const absl::Status& status, const ConnectOptions& options, const tls::TlsFiles& files) {
  const std::string text = absl::AsciiStrToLower(status.message());
  if (absl::StrContains(text, "refused") || absl::StrContains(text, "no such file")) {
    return "nothing listens there: check the address, and that the broker runs";
  }
  if (absl::StrContains(text, "dns") || absl::StrContains(text, "resol")) {
    return "the host's name is unknown: check the address";
  }
  if (absl::StrContains(text, "certificate_verify_failed") ||
      absl::StrContains(text, "certificate verify failed")) {
    return "the broker's certificate is not signed by the CA that this client trusts, or has expired: use "
           "the ca.pem of "
           "the broker's own certificates";
  }
  if (absl::StrContains(text, "peer name")) {
    return absl::StrCat("the broker's certificate is for another name than '",
                        options.server_name.empty() ? options.address : options.server_name,
                        "': dial a name that it holds, set server_name, or issue one for this name");
  }
  if (absl::StrContains(text, "wrong_version_number") || absl::StrContains(text, "wrong version number")) {
    return "something listens there that does not speak TLS: check the address";
  }
  const absl::StatusOr<tls::CertificateSummary> own = tls::Summarize(files.certificate_pem);
  if (own.ok() && own->expire_time < absl::Now()) {
    return absl::StrCat("this client's certificate expired at ", absl::FormatTime(own->expire_time),
                        ": issue another one");
  }
  return "if it listens, it broke the TLS handshake off: check that this client's certificate is signed by "
         "the CA that "
         "the broker trusts, and is neither expired nor revoked";
}

absl::Status Explain(const absl::Status& status, const ConnectOptions& options, const tls::TlsFiles& files) {
  const std::string what = absl::StrCat("cannot connect to the broker at ", options.address);
  if (!ReasonOf(status).empty()) return WithMessage(status, absl::StrCat(what, ": ", status.message()));
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
      return WithMessage(status,
                         absl::StrCat(what, ": ", Mend(status, options, files), " (", status.message(), ")"));
    case absl::StatusCode::kDeadlineExceeded:
      return WithMessage(
          status, absl::StrCat(what, ": no answer within ", absl::FormatDuration(options.connect_timeout),
                               "; check the address, and firewalls on the way"));
    case absl::StatusCode::kUnimplemented:
      return WithMessage(status,
                         absl::StrCat(what, ": what listens there is no pylabhub broker; check the port"));
    default:
      return WithMessage(status, absl::StrCat(what, ": ", status.message()));
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<Messenger>> Messenger::Connect(const ConnectOptions& options) {
  if (absl::Status status = CheckAddress(options.address); !status.ok()) return status;
  const absl::StatusOr<tls::TlsPaths> paths = PathsOf(options);
  if (!paths.ok()) return paths.status();
  const absl::StatusOr<tls::TlsFiles> files = tls::LoadTlsFiles(*paths);
  if (!files.ok()) return files.status();
  const bool is_unix = absl::StartsWith(options.address, kUnixScheme);
  const std::string server_name = options.server_name.empty() && is_unix ? "localhost" : options.server_name;
  absl::StatusOr<std::unique_ptr<Messenger>> messenger =
      Create(NewGrpcBrokerConnection(options.address, server_name, *files), options.messenger,
             options.connect_timeout);
  if (!messenger.ok()) return Explain(messenger.status(), options, *files);
  return messenger;
}

}  // namespace pylabhub
