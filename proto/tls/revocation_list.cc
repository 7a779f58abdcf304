#include "proto/tls/revocation_list.h"

#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>
#include <openssl/pem.h>

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "proto/tls/openssl_pointers.h"
#include "proto/tls/revocations/revocations.pb.h"
#include "proto/tls/serial.h"

namespace pylabhub::tls {
namespace {

using google::protobuf::TextFormat;

constexpr char kHeader[] =
    "# Revoked certificates and identities. Written by `pylabhub certs revoke`; may be edited by hand.\n";

// Collects what is wrong, each with its place.
class Faults final : public google::protobuf::io::ErrorCollector {
 public:
  explicit Faults(absl::string_view file_name) : file_name_(file_name) {}

  // `line` and `column` count from 0; -1: no place in particular.
  void AddError(int line, google::protobuf::io::ColumnNumber column, const std::string& message) override {
    lines_.push_back(line < 0 ? absl::StrCat(file_name_, ": ", message)
                              : absl::StrCat(file_name_, ":", line + 1, ":", column + 1, ": ", message));
  }

  absl::Status status() const {
    return lines_.empty() ? absl::OkStatus() : absl::InvalidArgumentError(absl::StrJoin(lines_, "\n"));
  }

 private:
  const std::string file_name_;
  std::vector<std::string> lines_;
};

absl::Status Add(const revocations::Revocation& entry, RevocationList& list) {
  Revocation revocation = {.reason = entry.reason()};
  if (!entry.time().empty()) {
    std::string ignored;
    if (!absl::ParseTime(absl::RFC3339_full, entry.time(), &revocation.time, &ignored)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "time: \"", entry.time(), "\" is no time; write for instance \"2026-11-22T14:00:00Z\""));
    }
  }
  switch (entry.subject_case()) {
    case revocations::Revocation::kSerial:
      return list.AddSerial(entry.serial(), std::move(revocation)).status();
    case revocations::Revocation::kIdentity:
      return list.AddIdentity(entry.identity(), std::move(revocation)).status();
    case revocations::Revocation::SUBJECT_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError("revoked: needs a serial or an identity");
}

void Write(const Revocation& revocation, revocations::Revocation& entry) {
  entry.set_reason(revocation.reason);
  if (revocation.time != absl::InfinitePast()) {
    entry.set_time(absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", revocation.time, absl::UTCTimeZone()));
  }
}

using CrlPtr = std::unique_ptr<X509_CRL, FreeWith<X509_CRL_free>>;

std::vector<X509Ptr> CertificatesIn(absl::string_view pem) {
  std::vector<X509Ptr> certificates;
  const BioPtr reader = ReaderOf(pem);
  while (X509Ptr certificate = X509Ptr(PEM_read_bio_X509(reader.get(), nullptr, nullptr, nullptr))) {
    certificates.push_back(std::move(certificate));
  }
  ERR_clear_error();
  return certificates;
}

absl::Status CheckSigned(X509_CRL* crl, const std::vector<X509Ptr>& authorities) {
  const X509_NAME* const issuer = X509_CRL_get_issuer(crl);
  bool known = false;
  for (const X509Ptr& authority : authorities) {
    if (X509_NAME_cmp(issuer, X509_get_subject_name(authority.get())) != 0) continue;
    known = true;
    if (X509_CRL_verify(crl, X509_get0_pubkey(authority.get())) == 1) return absl::OkStatus();
  }
  ERR_clear_error();
  return absl::InvalidArgumentError(
      known ? "a list (CRL) is not signed by the authority that it names"
            : "a list (CRL) is of an authority that is not among the CA certificates");
}

}  // namespace

absl::StatusOr<RevocationList> RevocationList::Parse(absl::string_view text, absl::string_view file_name) {
  Faults faults(file_name);
  TextFormat::ParseInfoTree places;
  TextFormat::Parser parser;
  parser.RecordErrorsTo(&faults);
  parser.WriteLocationsTo(&places);
  revocations::Revocations file;
  if (!parser.ParseFromString(std::string(text), &file)) return faults.status();

  RevocationList list;
  const auto& field = *revocations::Revocations::descriptor()->FindFieldByNumber(
      revocations::Revocations::kRevokedFieldNumber);
  for (int i = 0; i < file.revoked_size(); ++i) {
    const absl::Status status = Add(file.revoked(i), list);
    if (status.ok()) continue;
    const TextFormat::ParseLocation place = places.GetLocation(&field, i);
    faults.AddError(place.line, place.column, std::string(status.message()));
  }
  if (absl::Status status = faults.status(); !status.ok()) return status;
  return list;
}

std::string RevocationList::ToText() const {
  revocations::Revocations file;
  for (const auto& [serial, revocation] : by_serial_) {
    revocations::Revocation& entry = *file.add_revoked();
    entry.set_serial(serial);
    Write(revocation, entry);
  }
  for (const auto& [identity, revocation] : by_identity_) {
    revocations::Revocation& entry = *file.add_revoked();
    entry.set_identity(identity);
    Write(revocation, entry);
  }
  std::string text;
  TextFormat::PrintToString(file, &text);
  return kHeader + text;
}

absl::StatusOr<bool> RevocationList::AddSerial(absl::string_view serial, Revocation revocation) {
  absl::StatusOr<std::string> text = ParseSerial(serial);
  if (!text.ok()) return text.status();
  return by_serial_.emplace(*std::move(text), std::move(revocation)).second;
}

absl::StatusOr<bool> RevocationList::AddIdentity(absl::string_view identity, Revocation revocation) {
  if (identity.empty()) return absl::InvalidArgumentError("identity: must not be empty");
  return by_identity_.emplace(identity, std::move(revocation)).second;
}

absl::Status RevocationList::AddCrl(absl::string_view crl_pem, absl::string_view ca_pem) {
  const std::vector<X509Ptr> authorities = CertificatesIn(ca_pem);
  const BioPtr reader = ReaderOf(crl_pem);
  size_t lists = 0;
  while (const CrlPtr crl = CrlPtr(PEM_read_bio_X509_CRL(reader.get(), nullptr, nullptr, nullptr))) {
    ++lists;
    if (absl::Status status = CheckSigned(crl.get(), authorities); !status.ok()) return status;
    const STACK_OF(X509_REVOKED)* const entries = X509_CRL_get_REVOKED(crl.get());
    for (int i = 0; i < sk_X509_REVOKED_num(entries); ++i) {
      const X509_REVOKED* const entry = sk_X509_REVOKED_value(entries, i);
      by_crl_serial_.try_emplace(SerialText(X509_REVOKED_get0_serialNumber(entry)),
                                 Revocation{.reason = "on the authority's list (CRL)"});
    }
  }
  ERR_clear_error();
  return lists > 0 ? absl::OkStatus() : absl::InvalidArgumentError("holds no list (CRL) in PEM");
}

const Revocation* RevocationList::Find(absl::string_view serial, absl::string_view identity) const {
  if (const auto found = by_serial_.find(serial); found != by_serial_.end()) return &found->second;
  if (const auto found = by_crl_serial_.find(serial); found != by_crl_serial_.end()) return &found->second;
  if (const auto found = by_identity_.find(identity); found != by_identity_.end()) return &found->second;
  return nullptr;
}

}  // namespace pylabhub::tls
