#include "proto/tls/issue.h"

#include <arpa/inet.h>
#include <openssl/ec.h>
#include <openssl/pem.h>

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "proto/tls/openssl_pointers.h"

namespace pylabhub::tls {
namespace {

constexpr int kSerialBits = 159;  // RFC 5280: at most 20 octets, and positive
constexpr size_t kMaxCommonNameBytes = 64;

absl::Status Refused(absl::string_view what) {
  return absl::InternalError(absl::StrCat("OpenSSL could not ", what, ": ", LastOpensslError()));
}

template <typename Write>
absl::StatusOr<std::string> PemOf(Write write) {
  const BioPtr writer(BIO_new(BIO_s_mem()));
  if (write(writer.get()) != 1) return Refused("write PEM");
  char* data = nullptr;
  const long size = BIO_get_mem_data(writer.get(), &data);
  return std::string(data, size);
}

absl::StatusOr<Credential> PemOf(X509* certificate, EVP_PKEY* key) {
  absl::StatusOr<std::string> certificate_pem =
      PemOf([&](BIO* writer) { return PEM_write_bio_X509(writer, certificate); });
  if (!certificate_pem.ok()) return certificate_pem.status();
  absl::StatusOr<std::string> key_pem = PemOf([&](BIO* writer) {
    return PEM_write_bio_PKCS8PrivateKey(writer, key, nullptr, nullptr, 0, nullptr, nullptr);
  });
  if (!key_pem.ok()) return key_pem.status();
  return Credential{*std::move(certificate_pem), *std::move(key_pem)};
}

absl::StatusOr<X509Ptr> ParseCertificate(absl::string_view pem) {
  X509Ptr certificate(PEM_read_bio_X509(ReaderOf(pem).get(), nullptr, nullptr, nullptr));
  if (certificate == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("not a PEM certificate: ", LastOpensslError()));
  }
  return certificate;
}

absl::StatusOr<KeyPtr> ParseKey(absl::string_view pem) {
  // A password would be asked for on the terminal; an empty one makes an encrypted key an error instead.
  char no_password[] = "";
  KeyPtr key(PEM_read_bio_PrivateKey(ReaderOf(pem).get(), nullptr, nullptr, no_password));
  if (key == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("not an unencrypted PEM private key: ", LastOpensslError()));
  }
  return key;
}

absl::Status CheckCommonName(absl::string_view name) {
  if (!name.empty() && name.size() <= kMaxCommonNameBytes &&
      std::none_of(name.begin(), name.end(), [](unsigned char c) { return absl::ascii_iscntrl(c); })) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat("common_name must be 1 to ", kMaxCommonNameBytes,
                                                 " bytes with no control character; got ", name.size(),
                                                 " bytes"));
}

absl::Status SetValidity(X509* certificate, const Validity& validity) {
  if (validity.expire_time <= validity.not_before) {
    return absl::InvalidArgumentError("validity ends before it begins");
  }
  if (ASN1_TIME_set(X509_getm_notBefore(certificate), absl::ToTimeT(validity.not_before)) == nullptr ||
      ASN1_TIME_set(X509_getm_notAfter(certificate), absl::ToTimeT(validity.expire_time)) == nullptr) {
    return Refused("set the validity");
  }
  return absl::OkStatus();
}

absl::Status SetRandomSerial(X509* certificate) {
  const BignumPtr serial(BN_new());
  if (BN_rand(serial.get(), kSerialBits, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) != 1 ||
      BN_to_ASN1_INTEGER(serial.get(), X509_get_serialNumber(certificate)) == nullptr) {
    return Refused("make a serial number");
  }
  return absl::OkStatus();
}

// `text` is one of the constants below: names that a caller chose go through AddAlternativeNames, where no
// character has a meaning.
absl::Status AddExtension(X509* certificate, const X509* issuer, int nid, const char* text) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, const_cast<X509*>(issuer), certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, text);
  if (extension == nullptr) return Refused(absl::StrCat("make the extension ", OBJ_nid2sn(nid)));
  const int added = X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
  return added == 1 ? absl::OkStatus() : Refused(absl::StrCat("add the extension ", OBJ_nid2sn(nid)));
}

GeneralNamePtr TextName(int type, absl::string_view text) {
  GeneralNamePtr name(GENERAL_NAME_new());
  ASN1_IA5STRING* value = ASN1_IA5STRING_new();
  ASN1_STRING_set(value, text.data(), static_cast<int>(text.size()));
  GENERAL_NAME_set0_value(name.get(), type, value);
  return name;
}

bool IsGraphic(absl::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) { return absl::ascii_isgraph(c); });
}

absl::Status AddAlternativeNames(X509* certificate, const LeafSpec& spec) {
  const GeneralNamesPtr names(GENERAL_NAMES_new());
  for (const std::string& uri : spec.uris) {
    if (!IsGraphic(uri)) return absl::InvalidArgumentError(absl::StrCat("uris: '", uri, "' is not a URI"));
    sk_GENERAL_NAME_push(names.get(), TextName(GEN_URI, uri).release());
  }
  for (const std::string& dns_name : spec.dns_names) {
    if (!IsGraphic(dns_name)) {
      return absl::InvalidArgumentError(absl::StrCat("dns_names: '", dns_name, "' is not a DNS name"));
    }
    sk_GENERAL_NAME_push(names.get(), TextName(GEN_DNS, dns_name).release());
  }
  for (const std::string& address : spec.ip_addresses) {
    ASN1_OCTET_STRING* bytes = a2i_IPADDRESS(address.c_str());
    if (bytes == nullptr) {
      ERR_clear_error();
      return absl::InvalidArgumentError(
          absl::StrCat("ip_addresses: '", address, "' is not an IPv4 or IPv6 address"));
    }
    GeneralNamePtr name(GENERAL_NAME_new());
    GENERAL_NAME_set0_value(name.get(), GEN_IPADD, bytes);
    sk_GENERAL_NAME_push(names.get(), name.release());
  }
  if (sk_GENERAL_NAME_num(names.get()) == 0) return absl::OkStatus();
  if (X509_add1_ext_i2d(certificate, NID_subject_alt_name, names.get(), 0, X509V3_ADD_DEFAULT) != 1) {
    return Refused("add the alternative names");
  }
  return absl::OkStatus();
}

// A certificate for a fresh key, with everything set that authority and leaf have in common, not yet signed.
struct Unsigned {
  X509Ptr certificate;
  KeyPtr key;
};

absl::StatusOr<Unsigned> MakeUnsigned(absl::string_view common_name, const Validity& validity) {
  if (absl::Status status = CheckCommonName(common_name); !status.ok()) return status;
  Unsigned made{X509Ptr(X509_new()), KeyPtr(EVP_EC_gen("P-256"))};
  if (made.certificate == nullptr || made.key == nullptr) return Refused("make a P-256 key");
  X509* certificate = made.certificate.get();
  if (absl::Status status = SetValidity(certificate, validity); !status.ok()) return status;
  if (absl::Status status = SetRandomSerial(certificate); !status.ok()) return status;
  if (X509_set_version(certificate, X509_VERSION_3) != 1 ||
      X509_set_pubkey(certificate, made.key.get()) != 1 ||
      X509_NAME_add_entry_by_NID(X509_get_subject_name(certificate), NID_commonName, MBSTRING_UTF8,
                                 reinterpret_cast<const unsigned char*>(common_name.data()),
                                 static_cast<int>(common_name.size()), -1, 0) != 1) {
    return Refused("fill in the certificate");
  }
  return made;
}

struct Extension {
  int nid;
  const char* text;
};

absl::Status AddExtensions(X509* certificate, const X509* issuer, const std::vector<Extension>& extensions) {
  for (const Extension& extension : extensions) {
    absl::Status status = AddExtension(certificate, issuer, extension.nid, extension.text);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status AddName(const GENERAL_NAME* name, LeafSpec& spec) {
  int type = 0;
  const auto* const value = static_cast<const ASN1_STRING*>(GENERAL_NAME_get0_value(name, &type));
  const unsigned char* const bytes = ASN1_STRING_get0_data(value);
  const int size = ASN1_STRING_length(value);
  if (type == GEN_IPADD) {
    char text[INET6_ADDRSTRLEN] = "";
    if (inet_ntop(size == 4 ? AF_INET : AF_INET6, bytes, text, sizeof(text)) != nullptr) {
      spec.ip_addresses.emplace_back(text);
      return absl::OkStatus();
    }
  }
  if (type != GEN_DNS && type != GEN_URI) {
    return absl::InvalidArgumentError(
        "the certificate has an alternative name that is no DNS name, address or URI; issue it where it came "
        "from");
  }
  (type == GEN_DNS ? spec.dns_names : spec.uris).emplace_back(reinterpret_cast<const char*>(bytes), size);
  return absl::OkStatus();
}

}  // namespace

Validity ValidFor(absl::Duration duration) {
  const absl::Time now = absl::Now();
  return Validity{.not_before = now - absl::Hours(1), .expire_time = now + duration};
}

absl::StatusOr<Credential> MakeAuthority(absl::string_view common_name, const Validity& validity) {
  absl::StatusOr<Unsigned> made = MakeUnsigned(common_name, validity);
  if (!made.ok()) return made.status();
  X509* certificate = made->certificate.get();
  X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
  const absl::Status added = AddExtensions(certificate, certificate,
                                           {{NID_basic_constraints, "critical,CA:TRUE,pathlen:0"},
                                            {NID_key_usage, "critical,keyCertSign,cRLSign"},
                                            {NID_subject_key_identifier, "hash"}});
  if (!added.ok()) return added;
  if (X509_sign(certificate, made->key.get(), EVP_sha256()) == 0) return Refused("sign the authority");
  return PemOf(certificate, made->key.get());
}

absl::StatusOr<Credential> IssueLeaf(const Credential& authority, const LeafSpec& spec) {
  const absl::StatusOr<X509Ptr> issuer = ParseCertificate(authority.certificate_pem);
  if (!issuer.ok()) return issuer.status();
  const absl::StatusOr<KeyPtr> issuer_key = ParseKey(authority.key_pem);
  if (!issuer_key.ok()) return issuer_key.status();
  absl::StatusOr<Unsigned> made = MakeUnsigned(spec.common_name, spec.validity);
  if (!made.ok()) return made.status();
  X509* certificate = made->certificate.get();
  X509_set_issuer_name(certificate, X509_get_subject_name(issuer->get()));
  const char* use = spec.use == LeafUse::kServer ? "serverAuth" : "clientAuth";
  const absl::Status added = AddExtensions(certificate, issuer->get(),
                                           {{NID_basic_constraints, "critical,CA:FALSE"},
                                            {NID_key_usage, "critical,digitalSignature"},
                                            {NID_ext_key_usage, use},
                                            {NID_subject_key_identifier, "hash"},
                                            {NID_authority_key_identifier, "keyid:always"}});
  if (!added.ok()) return added;
  if (absl::Status status = AddAlternativeNames(certificate, spec); !status.ok()) return status;
  if (X509_sign(certificate, issuer_key->get(), EVP_sha256()) == 0) return Refused("sign the certificate");
  return PemOf(certificate, made->key.get());
}

absl::StatusOr<LeafSpec> SpecOf(absl::string_view certificate_pem) {
  const absl::StatusOr<X509Ptr> parsed = ParseCertificate(certificate_pem);
  if (!parsed.ok()) return parsed.status();
  X509* const certificate = parsed->get();
  LeafSpec spec;
  spec.use =
      X509_check_purpose(certificate, X509_PURPOSE_SSL_SERVER, 0) == 1 ? LeafUse::kServer : LeafUse::kClient;
  char name[kMaxCommonNameBytes + 1] = "";
  if (X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name, sizeof(name)) > 0) {
    spec.common_name = name;
  }
  const GeneralNamesPtr names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; i < (names == nullptr ? 0 : sk_GENERAL_NAME_num(names.get())); ++i) {
    if (absl::Status status = AddName(sk_GENERAL_NAME_value(names.get(), i), spec); !status.ok())
      return status;
  }
  return spec;
}

absl::Status CheckKeyBelongs(absl::string_view certificate_pem, absl::string_view key_pem) {
  const absl::StatusOr<X509Ptr> certificate = ParseCertificate(certificate_pem);
  if (!certificate.ok()) return certificate.status();
  const absl::StatusOr<KeyPtr> key = ParseKey(key_pem);
  if (!key.ok()) return key.status();
  if (X509_check_private_key(certificate->get(), key->get()) == 1) return absl::OkStatus();
  ERR_clear_error();
  return absl::InvalidArgumentError("the private key does not belong to the certificate");
}

}  // namespace pylabhub::tls
