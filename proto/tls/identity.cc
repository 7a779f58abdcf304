#include "proto/tls/identity.h"

#include <openssl/pem.h>

#include <algorithm>
#include <ctime>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "proto/tls/openssl_pointers.h"
#include "proto/tls/serial.h"

namespace pylabhub::tls {
namespace {

constexpr size_t kMaxIdentityBytes = 2048;
constexpr absl::string_view kSpiffeScheme = "spiffe://";
constexpr absl::string_view kBegin = "-----BEGIN CERTIFICATE-----";

absl::StatusOr<X509Ptr> ParseCertificate(absl::string_view pem) {
  const BioPtr reader = ReaderOf(pem);
  X509Ptr certificate(PEM_read_bio_X509(reader.get(), nullptr, nullptr, nullptr));
  if (certificate == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("not a PEM certificate (expected '-----BEGIN CERTIFICATE-----'): ", LastOpensslError()));
  }
  return certificate;
}

std::string TextOf(const ASN1_STRING* text) {
  return std::string(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)), ASN1_STRING_length(text));
}

absl::StatusOr<std::string> Checked(std::string identity, absl::string_view kind) {
  if (identity.empty())
    return absl::InvalidArgumentError(absl::StrCat("the certificate's ", kind, " is empty"));
  if (identity.size() > kMaxIdentityBytes) {
    return absl::InvalidArgumentError(absl::StrCat("the certificate's ", kind, " is ", identity.size(),
                                                   " bytes; at most ", kMaxIdentityBytes));
  }
  if (std::any_of(identity.begin(), identity.end(), [](unsigned char c) { return absl::ascii_iscntrl(c); })) {
    return absl::InvalidArgumentError(absl::StrCat("the certificate's ", kind, " holds a control character"));
  }
  return identity;
}

absl::StatusOr<std::string> CheckedName(std::string name, absl::string_view kind) {
  if (absl::StrContains(name, "://")) {
    return absl::InvalidArgumentError(
        absl::StrCat("the certificate's ", kind, " holds '://', which only a URI name may"));
  }
  return Checked(std::move(name), kind);
}

struct AlternativeNames {
  std::vector<std::string> spiffe_uris;
  std::vector<std::string> dns_names;
};

AlternativeNames AlternativeNamesOf(const X509* certificate) {
  AlternativeNames found;
  const GeneralNamesPtr names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  const int count = names == nullptr ? 0 : sk_GENERAL_NAME_num(names.get());
  for (int i = 0; i < count; ++i) {
    int type = 0;
    const void* value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names.get(), i), &type);
    if (type == GEN_URI) {
      std::string uri = TextOf(static_cast<const ASN1_STRING*>(value));
      if (absl::StartsWithIgnoreCase(uri, kSpiffeScheme)) found.spiffe_uris.push_back(std::move(uri));
    } else if (type == GEN_DNS) {
      found.dns_names.push_back(absl::AsciiStrToLower(TextOf(static_cast<const ASN1_STRING*>(value))));
    }
  }
  return found;
}

absl::StatusOr<std::string> CommonNameOf(const X509* certificate) {
  const X509_NAME* subject = X509_get_subject_name(certificate);
  const int first = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (first < 0) {
    return absl::InvalidArgumentError(
        "the certificate names nobody: it has no SPIFFE URI, no DNS name and no common name; issue one that "
        "has");
  }
  if (X509_NAME_get_index_by_NID(subject, NID_commonName, first) >= 0) {
    return absl::InvalidArgumentError("the certificate has two common names; issue one that has one");
  }
  unsigned char* utf8 = nullptr;
  const int size = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, first)));
  if (size < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("the certificate's common name is not text: ", LastOpensslError()));
  }
  std::string name(reinterpret_cast<const char*>(utf8), size);
  OPENSSL_free(utf8);
  return name;
}

absl::StatusOr<std::string> IdentityOf(const X509* certificate) {
  AlternativeNames names = AlternativeNamesOf(certificate);
  if (names.spiffe_uris.size() > 1) {
    return absl::InvalidArgumentError("the certificate has two SPIFFE URIs; issue one that has one");
  }
  if (!names.spiffe_uris.empty()) return Checked(std::move(names.spiffe_uris.front()), "SPIFFE URI");
  if (!names.dns_names.empty()) return CheckedName(std::move(names.dns_names.front()), "DNS name");
  absl::StatusOr<std::string> common_name = CommonNameOf(certificate);
  if (!common_name.ok()) return common_name;
  return CheckedName(*std::move(common_name), "common name");
}

std::string NameText(const X509_NAME* name) {
  const BioPtr writer(BIO_new(BIO_s_mem()));
  X509_NAME_print_ex(writer.get(), name, 0, XN_FLAG_RFC2253);
  char* data = nullptr;
  const long size = BIO_get_mem_data(writer.get(), &data);
  return std::string(data, size);
}

absl::StatusOr<absl::Time> TimeOf(const ASN1_TIME* time) {
  std::tm broken_down = {};
  if (ASN1_TIME_to_tm(time, &broken_down) != 1) {
    return absl::InvalidArgumentError("the certificate's dates cannot be read");
  }
  return absl::FromTM(broken_down, absl::UTCTimeZone());
}

std::vector<std::string> AlternativeNameTexts(const X509* certificate) {
  std::vector<std::string> texts;
  const GeneralNamesPtr names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  const int count = names == nullptr ? 0 : sk_GENERAL_NAME_num(names.get());
  for (int i = 0; i < count; ++i) {
    const BioPtr writer(BIO_new(BIO_s_mem()));
    GENERAL_NAME_print(writer.get(), sk_GENERAL_NAME_value(names.get(), i));
    char* data = nullptr;
    const long size = BIO_get_mem_data(writer.get(), &data);
    texts.emplace_back(data, size);
  }
  return texts;
}

absl::StatusOr<CertificateSummary> SummaryOf(X509* certificate) {
  const absl::StatusOr<absl::Time> not_before = TimeOf(X509_get0_notBefore(certificate));
  if (!not_before.ok()) return not_before.status();
  const absl::StatusOr<absl::Time> expire_time = TimeOf(X509_get0_notAfter(certificate));
  if (!expire_time.ok()) return expire_time.status();
  return CertificateSummary{
      .identity = IdentityOf(certificate).value_or(""),
      .subject = NameText(X509_get_subject_name(certificate)),
      .issuer = NameText(X509_get_issuer_name(certificate)),
      .not_before = *not_before,
      .expire_time = *expire_time,
      .serial = SerialText(X509_get0_serialNumber(certificate)),
      .alternative_names = AlternativeNameTexts(certificate),
      .is_authority = X509_check_ca(certificate) > 0,
      .may_serve = X509_check_purpose(certificate, X509_PURPOSE_SSL_SERVER, 0) == 1,
      .may_call = X509_check_purpose(certificate, X509_PURPOSE_SSL_CLIENT, 0) == 1,
  };
}

}  // namespace

absl::StatusOr<std::string> IdentityOf(absl::string_view certificate_pem) {
  const absl::StatusOr<X509Ptr> certificate = ParseCertificate(certificate_pem);
  if (!certificate.ok()) return certificate.status();
  return IdentityOf(certificate->get());
}

absl::StatusOr<CertificateSummary> Summarize(absl::string_view certificate_pem) {
  const absl::StatusOr<X509Ptr> certificate = ParseCertificate(certificate_pem);
  if (!certificate.ok()) return certificate.status();
  return SummaryOf(certificate->get());
}

absl::StatusOr<std::vector<CertificateSummary>> SummarizeAll(absl::string_view pem) {
  std::vector<CertificateSummary> summaries;
  // One at a time, so that one that cannot be read ends nothing in silence.
  for (size_t at = pem.find(kBegin); at != absl::string_view::npos;) {
    const size_t next = pem.find(kBegin, at + kBegin.size());
    auto summary = Summarize(pem.substr(at, next - at));
    if (!summary.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("certificate ", summaries.size() + 1, " of the file: ", summary.status().message()));
    }
    summaries.push_back(*std::move(summary));
    at = next;
  }
  if (summaries.empty()) return Summarize(pem).status();
  return summaries;
}

}  // namespace pylabhub::tls
