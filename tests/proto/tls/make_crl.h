// An authority's list of revoked certificates (CRL), for tests.
#ifndef PYLABHUB_TESTS_PROTO_TLS_MAKE_CRL_H_
#define PYLABHUB_TESTS_PROTO_TLS_MAKE_CRL_H_

#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "proto/tls/issue.h"

namespace pylabhub::testing {

// In PEM, signed by `authority`. A failure ends the test program.
inline std::string MakeCrl(const tls::Credential& authority, const std::vector<tls::Credential>& revoked) {
  const auto read = [](const std::string& pem, auto parse) {
    BIO* const reader = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
    auto* const parsed = parse(reader, nullptr, nullptr, nullptr);
    BIO_free(reader);
    if (parsed == nullptr) std::abort();
    return parsed;
  };
  X509* const issuer = read(authority.certificate_pem, PEM_read_bio_X509);
  EVP_PKEY* const key = read(authority.key_pem, PEM_read_bio_PrivateKey);
  X509_CRL* const crl = X509_CRL_new();
  X509_CRL_set_version(crl, 1);
  X509_CRL_set_issuer_name(crl, X509_get_subject_name(issuer));
  ASN1_TIME* const now = ASN1_TIME_set(nullptr, time(nullptr));
  X509_CRL_set1_lastUpdate(crl, now);
  X509_CRL_set1_nextUpdate(crl, now);
  for (const tls::Credential& leaf : revoked) {
    X509* const certificate = read(leaf.certificate_pem, PEM_read_bio_X509);
    X509_REVOKED* const entry = X509_REVOKED_new();
    X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(certificate));
    X509_REVOKED_set_revocationDate(entry, now);
    X509_CRL_add0_revoked(crl, entry);
    X509_free(certificate);
  }
  if (X509_CRL_sign(crl, key, EVP_sha256()) == 0) std::abort();
  BIO* const writer = BIO_new(BIO_s_mem());
  PEM_write_bio_X509_CRL(writer, crl);
  char* data = nullptr;
  const long size = BIO_get_mem_data(writer, &data);
  std::string pem(data, static_cast<size_t>(size));
  BIO_free(writer);
  ASN1_TIME_free(now);
  X509_CRL_free(crl);
  EVP_PKEY_free(key);
  X509_free(issuer);
  return pem;
}

}  // namespace pylabhub::testing

#endif  // PYLABHUB_TESTS_PROTO_TLS_MAKE_CRL_H_
