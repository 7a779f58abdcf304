#include "proto/tls/certificate_set.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "proto/tls/identity.h"
#include "proto/tls/private_file.h"

namespace pylabhub::tls {
namespace {

constexpr absl::string_view kAuthority = "ca";
constexpr absl::string_view kServer = "server";
constexpr absl::string_view kClient = "client";

std::string CertificatePath(absl::string_view folder, absl::string_view stem) {
  return absl::StrCat(folder, "/", stem, ".pem");
}

std::string KeyPath(absl::string_view folder, absl::string_view stem) {
  return absl::StrCat(folder, "/", stem, ".key");
}

TlsPaths PathsIn(absl::string_view folder, absl::string_view stem) {
  return TlsPaths{.ca_certificate = CertificatePath(folder, kAuthority),
                  .certificate = CertificatePath(folder, stem),
                  .key = KeyPath(folder, stem)};
}

absl::Status About(const std::string& path, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(path, ": ", status.message()));
}

absl::StatusOr<std::string> LoadCertificate(const std::string& path) {
  absl::StatusOr<std::string> pem = ReadPublicFile(path);
  if (!pem.ok()) return pem;
  const absl::StatusOr<CertificateSummary> summary = Summarize(*pem);
  if (!summary.ok()) return About(path, summary.status());
  return pem;
}

absl::Status Write(const std::string& folder, absl::string_view stem, const Credential& credential) {
  // The key first: whoever sees the certificate can use both.
  absl::Status status = WritePrivateFile(KeyPath(folder, stem), credential.key_pem);
  if (!status.ok()) return status;
  return WritePrivateFile(CertificatePath(folder, stem), credential.certificate_pem);
}

absl::Status WriteSet(const std::string& folder, const CertificateSetOptions& options) {
  const absl::StatusOr<Credential> authority =
      MakeAuthority(options.authority_name, ValidFor(options.authority_validity));
  if (!authority.ok()) return authority.status();
  if (absl::Status status = Write(folder, kAuthority, *authority); !status.ok()) return status;

  std::array<std::pair<absl::string_view, LeafSpec>, 2> leaves = {
      std::pair(kServer, ServerSpec(options.server_names)),
      std::pair(kClient, ClientSpec(options.client_identity))};
  for (auto& [stem, spec] : leaves) {
    spec.validity = ValidFor(options.leaf_validity);
    const absl::StatusOr<Credential> leaf = IssueLeaf(*authority, spec);
    if (!leaf.ok()) return leaf.status();
    if (absl::Status status = Write(folder, stem, *leaf); !status.ok()) return status;
  }
  return absl::OkStatus();
}

void RemoveDraft(const std::string& draft) {
  for (const absl::string_view stem : {kAuthority, kServer, kClient}) {
    unlink(CertificatePath(draft, stem).c_str());
    unlink(KeyPath(draft, stem).c_str());
  }
  rmdir(draft.c_str());
}

bool IsFileStem(absl::string_view stem) {
  return !stem.empty() && stem.front() != '.' && std::all_of(stem.begin(), stem.end(), [](unsigned char c) {
    return absl::ascii_isalnum(c) || c == '.' || c == '_' || c == '-';
  });
}

bool IsAddress(const std::string& name) {
  std::array<unsigned char, sizeof(in6_addr)> bytes;
  return inet_pton(AF_INET, name.c_str(), bytes.data()) == 1 ||
         inet_pton(AF_INET6, name.c_str(), bytes.data()) == 1;
}

}  // namespace

std::string RevocationsPathIn(absl::string_view folder) {
  return absl::StrCat(folder, "/revocations.textproto");
}

TlsPaths ServerPathsIn(absl::string_view folder) { return PathsIn(folder, kServer); }

TlsPaths ClientPathsIn(absl::string_view folder) { return PathsIn(folder, kClient); }

absl::StatusOr<TlsFiles> LoadTlsFiles(const TlsPaths& paths) {
  absl::StatusOr<std::string> ca_certificate = LoadCertificate(paths.ca_certificate);
  if (!ca_certificate.ok()) return ca_certificate.status();
  absl::StatusOr<std::string> certificate = LoadCertificate(paths.certificate);
  if (!certificate.ok()) return certificate.status();
  absl::StatusOr<std::string> key = ReadPrivateFile(paths.key);
  if (!key.ok()) return key.status();
  if (absl::Status status = CheckKeyBelongs(*certificate, *key); !status.ok()) {
    return About(paths.key, status);
  }
  return TlsFiles{*std::move(ca_certificate), *std::move(certificate), *std::move(key)};
}

absl::Status CreateCertificateSet(const std::string& folder, const CertificateSetOptions& options) {
  const std::string target(absl::StripSuffix(folder, "/"));
  std::string draft = absl::StrCat(target, ".XXXXXX");
  // mkdtemp makes the folder with mode 0700.
  if (mkdtemp(draft.data()) == nullptr) return FileError("make the folder", folder, errno);
  absl::Status status = WriteSet(draft, options);
  // A rename replaces an empty folder and refuses any other, in one step.
  if (status.ok() && std::rename(draft.c_str(), target.c_str()) != 0) {
    status = errno == ENOTEMPTY || errno == EEXIST
                 ? absl::AlreadyExistsError(absl::StrCat(
                       folder, " holds files already; use them, or choose a folder that is new or empty"))
                 : FileError("make the folder", folder, errno);
  }
  if (!status.ok()) RemoveDraft(draft);
  return status;
}

absl::Status IssueInto(const std::string& folder, absl::string_view file_stem, const LeafSpec& spec) {
  if (!IsFileStem(file_stem)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "'", file_stem, "' cannot name a file: use letters, digits, '.', '_' and '-', and no leading '.'"));
  }
  for (const std::string& path : {CertificatePath(folder, file_stem), KeyPath(folder, file_stem)}) {
    if (access(path.c_str(), F_OK) == 0) {
      return absl::AlreadyExistsError(absl::StrCat(path, " is there already; choose another name"));
    }
  }
  const absl::StatusOr<TlsFiles> authority = LoadTlsFiles(PathsIn(folder, kAuthority));
  if (!authority.ok()) return authority.status();
  const absl::StatusOr<Credential> leaf =
      IssueLeaf(Credential{authority->certificate_pem, authority->key_pem}, spec);
  if (!leaf.ok()) return leaf.status();
  return Write(folder, file_stem, *leaf);
}

absl::Status RenewIn(const std::string& folder, absl::string_view file_stem, const Validity& validity) {
  if (!IsFileStem(file_stem) || file_stem == kAuthority) {
    return absl::InvalidArgumentError(absl::StrCat("'", file_stem, "' is no leaf that can be renewed"));
  }
  const std::string path = CertificatePath(folder, file_stem);
  const absl::StatusOr<std::string> old = LoadCertificate(path);
  if (!old.ok()) return old.status();
  absl::StatusOr<LeafSpec> spec = SpecOf(*old);
  if (!spec.ok()) return About(path, spec.status());
  spec->validity = validity;
  const absl::StatusOr<TlsFiles> authority = LoadTlsFiles(PathsIn(folder, kAuthority));
  if (!authority.ok()) return authority.status();
  const absl::StatusOr<Credential> leaf =
      IssueLeaf(Credential{authority->certificate_pem, authority->key_pem}, *spec);
  if (!leaf.ok()) return leaf.status();
  return Write(folder, file_stem, *leaf);
}

LeafSpec ClientSpec(absl::string_view identity) {
  LeafSpec spec;
  spec.use = LeafUse::kClient;
  if (absl::StrContains(identity, "://")) {
    spec.uris.emplace_back(identity);
    spec.common_name = "pylabhub client";
  } else {
    spec.common_name = std::string(identity);
  }
  return spec;
}

LeafSpec ServerSpec(const std::vector<std::string>& names) {
  LeafSpec spec;
  spec.use = LeafUse::kServer;
  spec.common_name = "pylabhub broker";
  spec.dns_names = {"localhost"};
  spec.ip_addresses = {"127.0.0.1", "::1"};
  for (const std::string& name : names)
    (IsAddress(name) ? spec.ip_addresses : spec.dns_names).push_back(name);
  return spec;
}

}  // namespace pylabhub::tls
