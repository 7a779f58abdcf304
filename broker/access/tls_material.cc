#include "broker/access/tls_material.h"

#include <sys/stat.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "proto/tls/identity.h"
#include "proto/tls/issue.h"
#include "proto/tls/private_file.h"

namespace pylabhub::broker {
namespace {

absl::Status About(const std::string& path, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(path, ": ", status.message()));
}

absl::Status CheckDate(absl::string_view whose, absl::Time not_before, absl::Time expire_time,
                       absl::Time now) {
  if (now < not_before) {
    return absl::FailedPreconditionError(absl::StrCat(whose, " certificate is not valid before ",
                                                      absl::FormatTime(not_before),
                                                      "; is this host's clock right?"));
  }
  if (now >= expire_time) {
    return absl::FailedPreconditionError(
        absl::StrCat(whose, " certificate expired at ", absl::FormatTime(expire_time), "; renew it"));
  }
  return absl::OkStatus();
}

absl::Status ReadServer(const TlsTexts& texts, const std::string& path, TlsMaterial& material) {
  const auto chain = tls::SummarizeAll(texts.files.certificate_pem);
  if (!chain.ok()) return About(path, chain.status());
  const tls::CertificateSummary& server = chain->front();
  if (!server.may_serve) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": is no certificate for a server (", server.subject, ")"));
  }
  material.server_serial = server.serial;
  material.server_not_before = server.not_before;
  material.server_expire_time = server.expire_time;
  return absl::OkStatus();
}

absl::Status ReadAuthorities(const TlsTexts& texts, const std::string& path, TlsMaterial& material) {
  const auto authorities = tls::SummarizeAll(texts.files.ca_certificate_pem);
  if (!authorities.ok()) return About(path, authorities.status());
  material.ca_expire_time = absl::InfinitePast();
  for (const tls::CertificateSummary& authority : *authorities) {
    if (!authority.is_authority) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": \"", authority.subject, "\" is no authority's certificate"));
    }
    if (authority.expire_time <= material.ca_expire_time) continue;
    material.ca_not_before = authority.not_before;
    material.ca_expire_time = authority.expire_time;
  }
  return absl::OkStatus();
}

}  // namespace

bool TlsTexts::operator==(const TlsTexts& other) const {
  return files.ca_certificate_pem == other.files.ca_certificate_pem &&
         files.certificate_pem == other.files.certificate_pem && files.key_pem == other.files.key_pem &&
         revocations == other.revocations && has_revocations == other.has_revocations && crl == other.crl;
}

FileStamps StampsOf(const CertificateFiles& files) {
  FileStamps stamps;
  for (const std::string* path : {&files.paths.ca_certificate, &files.paths.certificate, &files.paths.key,
                                  &files.revocations, &files.crl}) {
    struct stat found = {};
    // Of what a link leads to.
    if (path->empty() || stat(path->c_str(), &found) != 0) found = {};
    const absl::Time change = absl::TimeFromTimespec(found.st_ctim);
    stamps.last_change = std::max(stamps.last_change, change);
    stamps.facts.insert(stamps.facts.end(),
                        {static_cast<int64_t>(found.st_dev), static_cast<int64_t>(found.st_ino),
                         found.st_size, absl::ToUnixNanos(change)});
  }
  return stamps;
}

absl::StatusOr<TlsTexts> ReadTlsTexts(const CertificateFiles& files) {
  TlsTexts texts;
  const std::pair<const std::string*, std::string*> publics[] = {
      {&files.paths.ca_certificate, &texts.files.ca_certificate_pem},
      {&files.paths.certificate, &texts.files.certificate_pem},
      {&files.crl, &texts.crl}};
  for (const auto& [path, text] : publics) {
    if (path->empty()) continue;
    auto read = tls::ReadPublicFile(*path);
    if (!read.ok()) return read.status();
    *text = *std::move(read);
  }
  auto key = tls::ReadPrivateFile(files.paths.key);
  if (!key.ok()) return key.status();
  texts.files.key_pem = *std::move(key);
  if (files.revocations.empty()) return texts;
  auto revocations = tls::ReadPublicFile(files.revocations);
  if (absl::IsNotFound(revocations.status()) && files.revocations_may_be_missing) return texts;
  if (!revocations.ok()) return revocations.status();
  texts.revocations = *std::move(revocations);
  texts.has_revocations = true;
  return texts;
}

absl::StatusOr<TlsMaterial> ReadTlsMaterial(const TlsTexts& texts, const CertificateFiles& files) {
  TlsMaterial material = {.files = texts.files};
  if (absl::Status status = ReadServer(texts, files.paths.certificate, material); !status.ok()) return status;
  if (absl::Status status = ReadAuthorities(texts, files.paths.ca_certificate, material); !status.ok())
    return status;
  const absl::Status key = tls::CheckKeyBelongs(texts.files.certificate_pem, texts.files.key_pem);
  if (!key.ok()) return About(files.paths.key, key);
  auto revocations = tls::RevocationList::Parse(texts.revocations, files.revocations);
  if (!revocations.ok()) return revocations.status();
  material.revocations = *std::move(revocations);
  if (files.crl.empty()) return material;
  const absl::Status crl = material.revocations.AddCrl(texts.crl, texts.files.ca_certificate_pem);
  if (!crl.ok()) return About(files.crl, crl);
  return material;
}

absl::Status CheckDates(const TlsMaterial& material, absl::Time now) {
  absl::Status server =
      CheckDate("the server's", material.server_not_before, material.server_expire_time, now);
  if (!server.ok()) return server;
  return CheckDate("the CA's", material.ca_not_before, material.ca_expire_time, now);
}

}  // namespace pylabhub::broker
