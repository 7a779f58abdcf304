#include "proto/policy/policy_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <random>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "proto/policy/unreachable.h"
#include "tests/proto/policy/policy_model.h"
#include "tests/support/seed.h"
#include "tests/support/temp_folder.h"

namespace pylabhub::policy {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kGood[] = R"(rules {
  name: "cameras"
  principals: ["spiffe://lab/camera/*", "camera.lab.example"]
  actions: [REGISTER, DISCOVER]
  channels: "camera.*"
}
)";

// What is said of `text`; "good" if nothing is.
std::string VerdictOn(absl::string_view text) {
  const PolicyReport report = ReadPolicy(text);
  EXPECT_EQ(report.policy == nullptr, !report.problems.empty() && !report.problems[0].is_warning)
      << TextOf(report.problems, "p");
  return report.problems.empty() ? "good" : TextOf(report.problems, "p");
}

std::string VerdictOnGoodBut(absl::string_view what, absl::string_view instead) {
  const std::string text = absl::StrReplaceAll(kGood, {{what, instead}});
  EXPECT_NE(text, kGood) << what;
  return VerdictOn(text);
}

TEST(PolicyFileTest, AFileIsReadRuleByRule) {
  const PolicyReport report = ReadPolicy(absl::StrCat(kGood, R"(
rules { name: "nobody" principals: "*" actions: ADMIN channels: "*" effect: DENY })"));
  ASSERT_EQ(TextOf(report.problems, "p"), "");
  const std::vector<Rule>& rules = report.policy->rules();
  ASSERT_EQ(rules.size(), 2u);
  EXPECT_EQ(rules[0].name, "cameras");
  EXPECT_THAT(rules[0].principals, ElementsAre("spiffe://lab/camera/*", "camera.lab.example"));
  EXPECT_THAT(rules[0].actions, ElementsAre(Action::kRegister, Action::kDiscover));
  EXPECT_THAT(rules[0].channels, ElementsAre("camera.*"));
  EXPECT_TRUE(rules[0].allows);
  EXPECT_EQ(rules[0].line, 1);
  EXPECT_FALSE(rules[1].allows);
  EXPECT_EQ(rules[1].line, 8);
}

TEST(PolicyFileTest, WhatIsWrongIsNamedWithItsPlaceAndWhatIsAllowed) {
  EXPECT_EQ(VerdictOn(kGood), "good");
  EXPECT_EQ(
      VerdictOnGoodBut("principals", "principal"),
      "p:3:12: Message type \"pylabhub.policy.file.Rule\" has no field named \"principal\". Allowed here: "
      "name, principals, actions, channels, effect.");
  EXPECT_THAT(VerdictOnGoodBut("DISCOVER", "FIND"),
              HasSubstr("Allowed here: REGISTER, DISCOVER, CONSUME, WATCH, SCHEMA, ADMIN, FORCE."));
  EXPECT_EQ(VerdictOnGoodBut("  name: \"cameras\"\n", ""),
            "p:1:1: name: every rule needs one, 1 to 64 of [A-Za-z0-9._-], by which the log names it");
  EXPECT_THAT(VerdictOnGoodBut("\"cameras\"", "\"the cameras\""),
              HasSubstr("p:2:3: rule \"the cameras\": name:"));
  EXPECT_THAT(VerdictOnGoodBut("  actions: [REGISTER, DISCOVER]\n", ""),
              HasSubstr("p:1:1: rule \"cameras\": actions: at least one is needed: REGISTER,"));
  EXPECT_THAT(VerdictOnGoodBut("\"camera.*\"", "\"camera/*\""),
              HasSubstr("p:5:3: rule \"cameras\": channels: \"camera/*\" must be 1 to 128 of [a-z0-9._*?-]"));
  EXPECT_THAT(VerdictOnGoodBut("  channels: \"camera.*\"\n", ""),
              HasSubstr("channels: at least one is needed; \"*\" is every channel"));
  EXPECT_THAT(VerdictOnGoodBut("\"camera.lab.example\"", "\"\""), HasSubstr("principals: \"\" is empty"));
  EXPECT_THAT(VerdictOnGoodBut("REGISTER", "ACTION_UNSPECIFIED"), HasSubstr("p:4:"));
  EXPECT_THAT(VerdictOnGoodBut("REGISTER", "77"), HasSubstr("p:4:"));
  EXPECT_THAT(VerdictOn(absl::StrCat(kGood, "rules { ")), HasSubstr("p:7:"));
  EXPECT_THAT(VerdictOn(absl::StrCat(kGood, "\xff\xfe")), HasSubstr("p:7:1:"));
}

TEST(PolicyFileTest, EverythingThatIsWrongIsSaidAtOnce) {
  const std::string verdict = VerdictOn("rules { name: \"a\" }\nrules { channels: \"A\" }\n");
  for (const char* said : {"p:1:1: rule \"a\": principals", "p:1:1: rule \"a\": actions",
                           "p:1:1: rule \"a\": channels", "p:2:1: name", "p:2:9: channels"}) {
    EXPECT_THAT(verdict, HasSubstr(said));
  }
}

TEST(PolicyFileTest, TwoRulesOfOneNameAreRefused) {
  EXPECT_THAT(VerdictOn(absl::StrCat(kGood, kGood)),
              HasSubstr("p:8:3: rule \"cameras\": name: the rule in line 1 is called so already"));
}

TEST(PolicyFileTest, AFileWithNoRuleIsRefusedSinceItIsMoreLikelyCutOff) {
  EXPECT_THAT(VerdictOn(""), HasSubstr("there is no rule in it"));
  EXPECT_THAT(VerdictOn("# soon\n"), HasSubstr("there is no rule in it"));
}

TEST(PolicyFileTest, APatternThatNoIdentityMatchesIsRefused) {
  const auto verdict = [](const std::string& pattern) {
    return VerdictOnGoodBut("\"camera.lab.example\"", absl::StrCat("\"", pattern, "\""));
  };
  EXPECT_EQ(verdict("*"), "good");
  EXPECT_EQ(verdict("*://lab/x"), "good");
  EXPECT_EQ(verdict("SPIFFE://lab/x"), "good");
  EXPECT_THAT(verdict("https://lab/x"), HasSubstr("of URIs only those that begin with \"spiffe://\""));
  EXPECT_THAT(verdict("a\\nb"), HasSubstr("holds a control character"));
  EXPECT_THAT(verdict(std::string(2049, 'a')), HasSubstr("longer than an identity"));
  EXPECT_EQ(verdict(std::string(2048, 'a') + "*"), "good");
}

TEST(PolicyFileTest, APatternThatMatchesMoreThanItSeemsToIsAWarning) {
  EXPECT_THAT(
      VerdictOnGoodBut("spiffe://lab/camera/*", "spiffe://lab*"),
      HasSubstr("p:3:3: warning: rule \"cameras\": principals: \"spiffe://lab*\" has a wildcard in its trust "
                "domain, \"lab*\""));
  EXPECT_THAT(VerdictOnGoodBut("\"camera.lab.example\"", "\"camera.lab.example \""), HasSubstr("warning: "));
}

TEST(PolicyFileTest, WhereverAFileIsCutOffItAllowsNothingThatTheWholeDidNot) {
  std::mt19937_64 random(testing::Seed());
  int readable = 0;
  for (int round = 0; round < 5; ++round) {
    const std::string whole = testing::ToText(testing::RandomRules(random, 8));
    const auto policy = ReadPolicy(whole).policy;
    ASSERT_NE(policy, nullptr) << whole;
    for (size_t bytes = 0; bytes < whole.size(); ++bytes) {
      const auto cut = ReadPolicy(whole.substr(0, bytes)).policy;
      if (cut == nullptr) continue;
      ++readable;
      for (int i = 0; i < 100; ++i) {
        const std::string identity = testing::RandomIdentity(random);
        const auto action = static_cast<Action>(random() % kActionCount);
        const std::string channel = testing::RandomChannel(random);
        ASSERT_TRUE(policy->Decide(identity, action, channel).allowed ||
                    !cut->Decide(identity, action, channel).allowed)
            << whole << "\ncut off after " << bytes;
      }
    }
  }
  EXPECT_GT(readable, 20);
}

TEST(PolicyFileTest, NoTextHoweverMangledIsTakenWithoutWhatARuleNeeds) {
  std::mt19937_64 random(testing::Seed());
  const std::string good = testing::ToText(testing::RandomRules(random, 4));
  int taken = 0;
  for (int i = 0; i < 5'000; ++i) {
    std::string text = good;
    for (uint64_t edits = 1 + random() % 3; edits > 0; --edits) {
      const size_t at = random() % text.size();
      switch (random() % 3) {
        case 0:
          text[at] = static_cast<char>(random());
          break;
        case 1:
          text.erase(at, random() % 20);
          break;
        default:
          text.insert(at, text.substr(random() % text.size(), random() % 20));
      }
      if (text.empty()) text = good;
    }
    const PolicyReport report = ReadPolicy(text);
    ASSERT_TRUE(report.policy != nullptr || !report.problems.empty());
    if (report.policy == nullptr) continue;
    ++taken;
    for (const Rule& rule : report.policy->rules()) {
      ASSERT_FALSE(rule.name.empty() || rule.principals.empty() || rule.actions.empty() ||
                   rule.channels.empty())
          << text;
    }
  }
  EXPECT_GT(taken, 20);
}

TEST(PolicyFileTest, AFileThatCannotBeReadIsAProblemThatSaysWhy) {
  const testing::TempFolder folder;
  const auto verdict = [](const std::string& path) { return TextOf(ReadPolicyFile(path).problems, "p"); };
  EXPECT_EQ(verdict(folder / "absent"), "p: cannot be read: No such file or directory");
  EXPECT_EQ(verdict(folder / ""), "p: is no file");
  ASSERT_EQ(mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_EQ(verdict(folder / "pipe"), "p: is no file");
  std::ofstream(folder / "large") << std::string((4 << 20) + 1, '#');
  EXPECT_EQ(verdict(folder / "large"), "p: is larger than 4194304 bytes");
  std::ofstream(folder / "good") << kGood;
  EXPECT_EQ(verdict(folder / "good"), "");
}

TEST(PolicyFileTest, TheExampleIsGoodAndSaysWhatItsCommentsDo) {
  const PolicyReport report = ReadPolicyFile("deploy/policy.textproto");
  ASSERT_EQ(TextOf(report.problems, "deploy/policy.textproto"), "");
  EXPECT_THAT(FindUnreachable(*report.policy), IsEmpty());
  const auto allows = [&](const std::string& who, Action action, const std::string& channel) {
    return report.policy->Decide("spiffe://lab.example/" + who, action, channel).allowed;
  };
  EXPECT_TRUE(allows("viewer/1", Action::kConsume, "camera.left"));
  EXPECT_FALSE(allows("viewer/1", Action::kRegister, "camera.left"));
  EXPECT_FALSE(allows("viewer/1", Action::kDiscover, "camera.private"));
  EXPECT_FALSE(allows("operator/1", Action::kDiscover, "camera.private"));
  EXPECT_TRUE(allows("calibration", Action::kRegister, "camera.private"));
  EXPECT_TRUE(allows("robot/spare", Action::kForce, "robot.arm"));
  EXPECT_FALSE(allows("robot/1", Action::kForce, "robot.arm"));
  EXPECT_TRUE(allows("operator/1", Action::kAdmin, ""));
  EXPECT_FALSE(allows("stranger", Action::kDiscover, "camera.left"));
}

TEST(UnreachableTest, ARuleThatEarlierOnesDecideIsNamedWithThem) {
  const auto report = ReadPolicy(R"(
rules { name: "lab" principals: "spiffe://lab/*" actions: [DISCOVER, CONSUME] channels: ["camera.*"] }
rules { name: "one" principals: "spiffe://lab/1" actions: DISCOVER channels: ["camera.left"] effect: DENY }
rules { name: "two" principals: "spiffe://lab/1" actions: [DISCOVER, REGISTER] channels: ["camera.left"] }
rules { name: "three" principals: "spiffe://lab/1" actions: [REGISTER, CONSUME] channels: ["camera.left"] }
)");
  ASSERT_NE(report.policy, nullptr) << TextOf(report.problems, "p");
  EXPECT_EQ(
      TextOf(FindUnreachable(*report.policy), "p"),
      "p:3:1: warning: rule \"one\" never decides anything: what it matches is decided by \"lab\" (line 2)\n"
      "p:5:1: warning: rule \"three\" never decides anything: what it matches is decided by \"lab\" (line "
      "2), "
      "\"two\" (line 4)");
}

TEST(UnreachableTest, WhatIsReportedNeverDecides) {
  std::mt19937_64 random(testing::Seed());
  int reported = 0;
  for (int round = 0; round < 100; ++round) {
    const auto report = ReadPolicy(testing::ToText(testing::RandomRules(random, 20)));
    ASSERT_NE(report.policy, nullptr) << TextOf(report.problems, "p");
    const auto unreachable = FindUnreachable(*report.policy);
    reported += static_cast<int>(unreachable.size());
    for (int i = 0; i < 200; ++i) {
      const Decision decision =
          report.policy->Decide(testing::RandomIdentity(random), static_cast<Action>(random() % kActionCount),
                                testing::RandomChannel(random));
      for (const Problem& problem : unreachable) {
        ASSERT_TRUE(decision.rule == nullptr || decision.rule->line != problem.line) << problem.message;
      }
    }
  }
  EXPECT_GT(reported, 50);
}

}  // namespace
}  // namespace pylabhub::policy
