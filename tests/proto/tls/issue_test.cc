#include "proto/tls/issue.h"

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>

#include "absl/time/clock.h"
#include "gtest/gtest.h"
#include "proto/tls/identity.h"

namespace pylabhub::tls {
namespace {

struct FreeX509 {
  void operator()(X509* certificate) const { X509_free(certificate); }
};
using Certificate = std::unique_ptr<X509, FreeX509>;

Certificate Parse(const std::string& pem) {
  BIO* reader = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
  Certificate certificate(PEM_read_bio_X509(reader, nullptr, nullptr, nullptr));
  BIO_free(reader);
  return certificate;
}

// What OpenSSL's own verifier says of `leaf` when it trusts `authority` alone: X509_V_OK or X509_V_ERR_...
int Verify(const Credential& authority, const Credential& leaf, int purpose) {
  const Certificate trusted = Parse(authority.certificate_pem);
  const Certificate subject = Parse(leaf.certificate_pem);
  X509_STORE* store = X509_STORE_new();
  X509_STORE_add_cert(store, trusted.get());
  X509_STORE_CTX* context = X509_STORE_CTX_new();
  X509_STORE_CTX_init(context, store, subject.get(), nullptr);
  X509_STORE_CTX_set_purpose(context, purpose);
  X509_VERIFY_PARAM_set_flags(X509_STORE_CTX_get0_param(context), X509_V_FLAG_X509_STRICT);
  X509_verify_cert(context);
  const int error = X509_STORE_CTX_get_error(context);
  X509_STORE_CTX_free(context);
  X509_STORE_free(store);
  return error;
}

Credential Authority() { return MakeAuthority("test CA", ValidFor(absl::Hours(1))).value(); }

Credential Leaf(const Credential& authority, const LeafSpec& spec) {
  return IssueLeaf(authority, spec).value();
}

TEST(IssueTest, LeafIsGoodForItsUseAndNoOther) {
  const Credential authority = Authority();
  const Credential server = Leaf(authority, {.use = LeafUse::kServer, .common_name = "s"});
  const Credential client = Leaf(authority, {.use = LeafUse::kClient, .common_name = "c"});
  EXPECT_EQ(Verify(authority, server, X509_PURPOSE_SSL_SERVER), X509_V_OK);
  EXPECT_EQ(Verify(authority, client, X509_PURPOSE_SSL_CLIENT), X509_V_OK);
  EXPECT_EQ(Verify(authority, server, X509_PURPOSE_SSL_CLIENT), X509_V_ERR_INVALID_PURPOSE);
  EXPECT_EQ(Verify(authority, client, X509_PURPOSE_SSL_SERVER), X509_V_ERR_INVALID_PURPOSE);
}

TEST(IssueTest, AnotherAuthorityOfTheSameNameDoesNotVouchForALeaf) {
  const Credential leaf = Leaf(Authority(), {.common_name = "c"});
  EXPECT_NE(Verify(Authority(), leaf, X509_PURPOSE_SSL_CLIENT), X509_V_OK);
}

TEST(IssueTest, LeafMayBeExpiredOrNotYetGood) {
  const Credential authority = Authority();
  const absl::Time now = absl::Now();
  const Credential expired =
      Leaf(authority, {.common_name = "c", .validity = {now - absl::Hours(2), now - absl::Hours(1)}});
  const Credential early =
      Leaf(authority, {.common_name = "c", .validity = {now + absl::Hours(1), now + absl::Hours(2)}});
  EXPECT_EQ(Verify(authority, expired, X509_PURPOSE_SSL_CLIENT), X509_V_ERR_CERT_HAS_EXPIRED);
  EXPECT_EQ(Verify(authority, early, X509_PURPOSE_SSL_CLIENT), X509_V_ERR_CERT_NOT_YET_VALID);
}

TEST(IssueTest, LeafCannotSignFurtherCertificates) {
  const Credential authority = Authority();
  const Credential leaf = Leaf(authority, {.common_name = "c"});
  const Credential below = Leaf(leaf, {.common_name = "d"});
  EXPECT_NE(Verify(leaf, below, X509_PURPOSE_SSL_CLIENT), X509_V_OK);
}

TEST(IssueTest, ServerNamesMatchAsTlsMatchesThem) {
  const Credential leaf = Leaf(Authority(), {.use = LeafUse::kServer,
                                             .common_name = "broker",
                                             .dns_names = {"localhost", "*.lab.example"},
                                             .ip_addresses = {"127.0.0.1", "::1"}});
  const Certificate certificate = Parse(leaf.certificate_pem);
  EXPECT_EQ(X509_check_host(certificate.get(), "localhost", 0, 0, nullptr), 1);
  EXPECT_EQ(X509_check_host(certificate.get(), "broker.lab.example", 0, 0, nullptr), 1);
  EXPECT_EQ(X509_check_host(certificate.get(), "elsewhere", 0, 0, nullptr), 0);
  EXPECT_EQ(X509_check_ip_asc(certificate.get(), "127.0.0.1", 0), 1);
  EXPECT_EQ(X509_check_ip_asc(certificate.get(), "::1", 0), 1);
  EXPECT_EQ(X509_check_ip_asc(certificate.get(), "127.0.0.2", 0), 0);
}

TEST(IssueTest, KeysAreP256AndSerialsDiffer) {
  const Credential authority = Authority();
  const Certificate one = Parse(Leaf(authority, {.common_name = "c"}).certificate_pem);
  const Certificate two = Parse(Leaf(authority, {.common_name = "c"}).certificate_pem);
  EXPECT_EQ(EVP_PKEY_get_bits(X509_get0_pubkey(one.get())), 256);
  EXPECT_EQ(X509_get_signature_nid(one.get()), NID_ecdsa_with_SHA256);
  EXPECT_NE(ASN1_INTEGER_cmp(X509_get0_serialNumber(one.get()), X509_get0_serialNumber(two.get())), 0);
}

TEST(IssueTest, NameWithACommaStaysOneName) {
  const Credential leaf = Leaf(Authority(), {.common_name = "c", .uris = {"spiffe://lab/a,DNS:admin"}});
  EXPECT_EQ(*IdentityOf(leaf.certificate_pem), "spiffe://lab/a,DNS:admin");
  EXPECT_EQ(X509_check_host(Parse(leaf.certificate_pem).get(), "admin", 0, 0, nullptr), 0);
}

TEST(IssueTest, EveryWrongFieldIsNamed) {
  const Credential authority = Authority();
  const auto refusal = [&](const LeafSpec& spec) {
    const absl::Status status = IssueLeaf(authority, spec).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  };
  EXPECT_NE(refusal({}).find("common_name"), std::string::npos);
  EXPECT_NE(refusal({.common_name = std::string(65, 'x')}).find("common_name"), std::string::npos);
  EXPECT_NE(refusal({.common_name = "c", .dns_names = {""}}).find("dns_names"), std::string::npos);
  EXPECT_NE(refusal({.common_name = "c", .ip_addresses = {"300.0.0.1"}}).find("ip_addresses"),
            std::string::npos);
  EXPECT_NE(refusal({.common_name = "c", .uris = {"two words"}}).find("uris"), std::string::npos);
  EXPECT_NE(
      refusal({.common_name = "c", .validity = {absl::Now(), absl::Now() - absl::Hours(1)}}).find("validity"),
      std::string::npos);
}

TEST(IssueTest, KeyOfAnotherCertificateIsFoundOut) {
  const Credential authority = Authority();
  const Credential one = Leaf(authority, {.common_name = "c"});
  const Credential two = Leaf(authority, {.common_name = "c"});
  EXPECT_TRUE(CheckKeyBelongs(one.certificate_pem, one.key_pem).ok());
  EXPECT_EQ(CheckKeyBelongs(one.certificate_pem, two.key_pem).code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace pylabhub::tls
