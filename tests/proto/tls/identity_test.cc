#include "proto/tls/identity.h"

#include <string>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/tls/issue.h"

namespace pylabhub::tls {
namespace {

class IdentityTest : public ::testing::Test {
 protected:
  std::string Issue(LeafSpec spec) {
    if (spec.common_name.empty()) spec.common_name = "common";
    absl::StatusOr<Credential> leaf = IssueLeaf(authority_, spec);
    EXPECT_TRUE(leaf.ok()) << leaf.status();
    return leaf.ok() ? leaf->certificate_pem : "";
  }

  Credential authority_ = MakeAuthority("test CA", ValidFor(absl::Hours(1))).value();
};

TEST_F(IdentityTest, SpiffeUriWinsOverEveryOtherName) {
  EXPECT_EQ(*IdentityOf(Issue({.dns_names = {"host.example"},
                               .uris = {"https://other.example", "spiffe://lab.example/Sampler"}})),
            "spiffe://lab.example/Sampler");
}

TEST_F(IdentityTest, FirstDnsNameInLowerCaseWinsOverTheCommonName) {
  EXPECT_EQ(*IdentityOf(Issue({.dns_names = {"First.Example", "second.example"},
                               .ip_addresses = {"127.0.0.1"},
                               .uris = {"https://other.example"}})),
            "first.example");
}

TEST_F(IdentityTest, CommonNameCountsWhenNoOtherNameDoes) {
  EXPECT_EQ(*IdentityOf(Issue({.common_name = "Sampler Ä", .ip_addresses = {"127.0.0.1"}})), "Sampler Ä");
}

TEST_F(IdentityTest, TwoSpiffeUrisAreRefused) {
  const auto identity = IdentityOf(Issue({.uris = {"spiffe://lab/a", "spiffe://lab/b"}}));
  EXPECT_EQ(identity.status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(IdentityTest, PlainNameCannotPassForAUri) {
  EXPECT_EQ(IdentityOf(Issue({.common_name = "spiffe://lab/admin"})).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(IdentityOf(Issue({.dns_names = {"spiffe://lab/admin"}})).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(IdentityTest, FirstCertificateOfAChainCounts) {
  EXPECT_EQ(*IdentityOf(Issue({.common_name = "leaf"}) + authority_.certificate_pem), "leaf");
}

TEST_F(IdentityTest, TextThatIsNoCertificateIsRefused) {
  EXPECT_EQ(IdentityOf("").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(IdentityOf(authority_.key_pem).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(IdentityTest, SummaryTellsNamesAndDates) {
  const Validity validity = {.not_before = absl::FromUnixSeconds(1'500'000'000),
                             .expire_time = absl::FromUnixSeconds(1'600'000'000)};
  const auto summary = Summarize(Issue({.common_name = "sampler", .validity = validity}));
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_EQ(summary->identity, "sampler");
  EXPECT_EQ(summary->subject, "CN=sampler");
  EXPECT_EQ(summary->issuer, "CN=test CA");
  EXPECT_EQ(summary->not_before, validity.not_before);
  EXPECT_EQ(summary->expire_time, validity.expire_time);
  EXPECT_THAT(summary->serial, ::testing::MatchesRegex("[1-9a-f][0-9a-f]+"));
}

}  // namespace
}  // namespace pylabhub::tls
