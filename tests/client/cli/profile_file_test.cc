#include "client/cli/profile_file.h"

#include <gtest/gtest.h>

namespace pylabhub::cli {
namespace {

using Settings = std::map<std::string, std::string>;

TEST(ProfileFileTest, WhatIsBeforeTheFirstSectionIsTheDefaultProfile) {
  const auto profiles = ParseProfiles("broker = a:1\n[lab]\nbroker=b:2\n", "profiles", "/home/x");
  ASSERT_TRUE(profiles.ok()) << profiles.status();
  ASSERT_EQ(profiles->size(), 2U);
  EXPECT_EQ((*profiles)[0].name, "default");
  EXPECT_EQ((*profiles)[0].settings, (Settings{{"broker", "a:1"}}));
  EXPECT_EQ((*profiles)[1].name, "lab");
  EXPECT_EQ((*profiles)[1].settings, (Settings{{"broker", "b:2"}}));
}

TEST(ProfileFileTest, CommentsQuotesAndTheHomeFolderAreUnderstood) {
  const auto profiles =
      ParseProfiles("# mine\n; too\n\n[lab]\n certs = \"~/my certs\"  # where\ndirectory = /dev/shm/a#b\n",
                    "profiles", "/home/x");
  ASSERT_TRUE(profiles.ok()) << profiles.status();
  ASSERT_EQ(profiles->size(), 1U);
  EXPECT_EQ((*profiles)[0].settings,
            (Settings{{"certs", "/home/x/my certs"}, {"directory", "/dev/shm/a#b"}}));
}

TEST(ProfileFileTest, AMistakeIsNamedWithItsLine) {
  const auto error = [](absl::string_view text) {
    return std::string(ParseProfiles(text, "/p", "/home/x").status().message());
  };
  EXPECT_EQ(error("\n[lab\n"), "/p:2: a profile begins with [NAME], of letters, digits, - _ and .");
  EXPECT_EQ(error("[a b]\n"), "/p:1: a profile begins with [NAME], of letters, digits, - _ and .");
  EXPECT_EQ(error("broker\n"), "/p:1: this is no KEY = VALUE");
  EXPECT_EQ(error("\n\nport = 1\n"),
            "/p:3: there is no setting 'port'; use broker, certs, directory, output");
  EXPECT_EQ(error("[x]\nbroker = a\nbroker = b\n"), "/p:3: 'broker' is set twice in [x]");
}

}  // namespace
}  // namespace pylabhub::cli
