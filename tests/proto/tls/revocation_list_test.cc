// The file of revocations: what it says, what is refused, and that what is written is read again.

#include "proto/tls/revocation_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "proto/tls/identity.h"
#include "proto/tls/issue.h"
#include "tests/proto/tls/make_crl.h"

namespace pylabhub::tls {
namespace {

using ::testing::HasSubstr;

TEST(RevocationListTest, ASerialAndAnIdentityAreFoundWithTheirReasons) {
  const auto list = RevocationList::Parse(
      "revoked { serial: '00:1F:3A' reason: 'stolen' time: '2026-11-22T14:00:00Z' }\n"
      "revoked { identity: 'spiffe://lab/sampler' reason: 'retired' }\n",
      "file");
  ASSERT_TRUE(list.ok()) << list.status();
  ASSERT_NE(list->Find("1f3a", "somebody"), nullptr);
  EXPECT_EQ(list->Find("1f3a", "somebody")->reason, "stolen");
  EXPECT_EQ(list->Find("1f3a", "somebody")->time, absl::FromUnixSeconds(1'795'356'000));
  ASSERT_NE(list->Find("77", "spiffe://lab/sampler"), nullptr);
  EXPECT_EQ(list->Find("77", "spiffe://lab/sampler2"), nullptr);
  EXPECT_EQ(list->Find("1f3", "somebody"), nullptr);
}

TEST(RevocationListTest, AnEmptyFileRevokesNobody) {
  const auto list = RevocationList::Parse("", "file");
  ASSERT_TRUE(list.ok()) << list.status();
  EXPECT_TRUE(list->empty());
}

TEST(RevocationListTest, EachFaultIsNamedWithItsPlace) {
  const auto of = [](absl::string_view text) {
    return std::string(RevocationList::Parse(text, "file").status().message());
  };
  EXPECT_THAT(of("revoked { serial: '1f' }\nrevoked { serial: 'xyz' }"),
              HasSubstr("file:2:1: \"xyz\" is no serial"));
  EXPECT_THAT(of("revoked { reason: 'x' }"), HasSubstr("file:1:1: revoked: needs a serial or an identity"));
  EXPECT_THAT(of("revoked { identity: '' }"), HasSubstr("identity: must not be empty"));
  EXPECT_THAT(of("revoked { serial: '1' time: 'today' }"), HasSubstr("\"today\" is no time"));
  EXPECT_THAT(of("revoked { seria: '1' }"), HasSubstr("file:1:"));
  // As it is found in the middle of a write.
  EXPECT_THAT(of("revoked { serial: '1f"), HasSubstr("file:1:"));
}

TEST(RevocationListTest, WhatIsWrittenIsReadAgain) {
  RevocationList list;
  EXPECT_TRUE(*list.AddSerial("serial=1F",
                              {.reason = "with \"quotes\"", .time = absl::FromUnixSeconds(1'795'356'000)}));
  EXPECT_FALSE(*list.AddSerial("0x1f", {.reason = "once more"}));
  EXPECT_TRUE(*list.AddIdentity("sampler", {}));
  const auto again = RevocationList::Parse(list.ToText(), "file");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->size(), 2u);
  EXPECT_EQ(again->Find("1f", "")->reason, "with \"quotes\"");
  EXPECT_EQ(again->Find("1f", "")->time, absl::FromUnixSeconds(1'795'356'000));
  EXPECT_EQ(again->ToText(), list.ToText());
}

class CrlTest : public ::testing::Test {
 protected:
  static Credential Authority() { return *MakeAuthority("test CA", ValidFor(absl::Hours(1))); }
  const Credential authority_ = Authority();
  const Credential leaf_ = *IssueLeaf(authority_, {.common_name = "sampler"});
};

TEST_F(CrlTest, WhatAnAuthoritysListRevokesIsFound) {
  RevocationList list;
  ASSERT_TRUE(list.AddCrl(testing::MakeCrl(authority_, {leaf_}), authority_.certificate_pem).ok());
  EXPECT_NE(list.Find(Summarize(leaf_.certificate_pem)->serial, "sampler"), nullptr);
  EXPECT_EQ(list.Find("1f", "sampler"), nullptr);
}

TEST_F(CrlTest, AListThatTheAuthorityDidNotSignIsRefused) {
  RevocationList list;
  const std::string crl = testing::MakeCrl(authority_, {leaf_});
  // The same name, another key.
  EXPECT_THAT(std::string(list.AddCrl(crl, Authority().certificate_pem).message()),
              HasSubstr("is not signed by"));
  const Credential other = *MakeAuthority("other CA", ValidFor(absl::Hours(1)));
  EXPECT_THAT(std::string(list.AddCrl(crl, other.certificate_pem).message()), HasSubstr("is not among"));
  EXPECT_THAT(std::string(list.AddCrl("garbage", other.certificate_pem).message()), HasSubstr("no list"));
  EXPECT_TRUE(list.empty());
}

}  // namespace
}  // namespace pylabhub::tls
