#include "proto/policy/policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <thread>

#include "absl/strings/str_cat.h"
#include "proto/policy/explain.h"
#include "tests/proto/policy/policy_model.h"
#include "tests/support/seed.h"

namespace pylabhub::policy {
namespace {

using testing::ModelAllows;
using testing::ModelDecides;
using testing::RandomChannel;
using testing::RandomIdentity;
using testing::RandomRules;
using ::testing::SizeIs;

Rule Allow(const std::string& name, const std::string& principal, const std::string& channel,
           Action action = Action::kDiscover) {
  return {.name = name, .principals = {principal}, .actions = {action}, .channels = {channel}};
}

Rule Deny(const std::string& name, const std::string& principal, const std::string& channel) {
  Rule rule = Allow(name, principal, channel);
  rule.allows = false;
  return rule;
}

// "yes by RULE", "no by RULE", or "no rule".
std::string Verdict(const Decision& decision) {
  if (decision.rule == nullptr) return decision.allowed ? "yes by nothing" : "no rule";
  return absl::StrCat(decision.allowed ? "yes by " : "no by ", decision.rule->name);
}

TEST(PolicyTest, WhatNoRuleMatchesIsDenied) {
  const Policy policy({Allow("cameras", "spiffe://lab/camera", "camera.*")});
  EXPECT_EQ(Verdict(policy.Decide("spiffe://lab/camera", Action::kDiscover, "camera.left")),
            "yes by cameras");
  EXPECT_EQ(Verdict(policy.Decide("spiffe://lab/other", Action::kDiscover, "camera.left")), "no rule");
  EXPECT_EQ(Verdict(policy.Decide("spiffe://lab/camera", Action::kRegister, "camera.left")), "no rule");
  EXPECT_EQ(Verdict(policy.Decide("spiffe://lab/camera", Action::kDiscover, "sensor")), "no rule");
}

TEST(PolicyTest, TheFirstRuleThatMatchesDecides) {
  const Policy policy({Deny("secret", "*", "camera.secret*"), Allow("all", "*", "camera.*"),
                       Deny("too-late", "*", "camera.left")});
  EXPECT_EQ(Verdict(policy.Decide("x", Action::kDiscover, "camera.secret.1")), "no by secret");
  EXPECT_EQ(Verdict(policy.Decide("x", Action::kDiscover, "camera.left")), "yes by all");
}

TEST(PolicyTest, OnlyAStarMatchesWhatIsAboutTheWholeBroker) {
  const Policy policy(
      {Allow("some", "x", "camera.*", Action::kAdmin), Allow("all", "y", "*", Action::kAdmin)});
  EXPECT_EQ(Verdict(policy.Decide("x", Action::kAdmin, "")), "no rule");
  EXPECT_EQ(Verdict(policy.Decide("y", Action::kAdmin, "")), "yes by all");
}

TEST(PolicyTest, EveryDecisionIsTheModels) {
  std::mt19937_64 random(testing::Seed());
  int allowed = 0;
  int denied_by_rule = 0;
  for (int round = 0; round < 200; ++round) {
    const std::vector<Rule> rules = RandomRules(random, 1 + random() % 40);
    const Policy policy(rules);
    for (int i = 0; i < 200; ++i) {
      const std::string identity = RandomIdentity(random);
      const auto action = static_cast<Action>(random() % kActionCount);
      const std::string channel = RandomChannel(random);
      const Decision decision = policy.Decide(identity, action, channel);
      const Rule* const expected = ModelDecides(rules, identity, action, channel);
      ASSERT_EQ(decision.rule == nullptr ? "" : decision.rule->name,
                expected == nullptr ? "" : expected->name)
          << identity << " " << NameOf(action) << " " << channel << "\n"
          << testing::ToText(rules);
      ASSERT_EQ(decision.allowed, ModelAllows(rules, identity, action, channel));
      ASSERT_TRUE(!decision.allowed || policy.RightsOf(identity)->MayAny(action));
      allowed += decision.allowed ? 1 : 0;
      denied_by_rule += !decision.allowed && decision.rule != nullptr ? 1 : 0;
    }
  }
  EXPECT_GT(allowed, 1000);
  EXPECT_GT(denied_by_rule, 1000);
}

TEST(PolicyTest, RightsOutliveThePolicyThatTheyCameFrom) {
  std::shared_ptr<const Rights> rights;
  {
    const Policy policy({Allow("cameras", "*", "camera.*")});
    rights = policy.RightsOf("x");
  }
  EXPECT_EQ(Verdict(rights->Decide(Action::kDiscover, "camera.left")), "yes by cameras");
}

TEST(PolicyTest, AFingerprintChangesWithWhatTheRulesForAnIdentityAndActionSayAndWithNothingElse) {
  const auto of_x = [](std::vector<Rule> rules) {
    return Policy(std::move(rules)).RightsOf("x")->Fingerprint(Action::kDiscover);
  };
  const uint64_t before = of_x({Allow("a", "x", "camera.*")});
  EXPECT_EQ(of_x({Allow("renamed", "x*", "camera.*")}), before);
  EXPECT_EQ(of_x({Allow("others", "y", "*"), Allow("a", "x", "camera.*")}), before);
  EXPECT_EQ(of_x({Allow("a", "x", "camera.*"), Allow("b", "x", "*", Action::kWatch)}), before);
  EXPECT_NE(of_x({Allow("a", "x", "camera.?")}), before);
  EXPECT_NE(of_x({Deny("a", "x", "camera.*")}), before);
  EXPECT_NE(of_x({Allow("a", "x", "camera.*"), Allow("b", "x", "sensor")}), before);
  EXPECT_NE(of_x({}), before);
}

TEST(PolicyTest, ManyThreadsAndManyIdentitiesGetTheSameAnswers) {
  std::mt19937_64 random(testing::Seed());
  const std::vector<Rule> rules = RandomRules(random, 30);
  const Policy policy(rules);
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, seed = random()] {
      std::mt19937_64 mine(seed);
      // More identities than are remembered.
      for (int i = 0; i < 3000; ++i) {
        const std::string identity = absl::StrCat(RandomIdentity(mine), mine() % 3000);
        const std::string channel = RandomChannel(mine);
        ASSERT_EQ(policy.Decide(identity, Action::kDiscover, channel).rule,
                  policy.RightsOf(identity)->Decide(Action::kDiscover, channel).rule);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(ExplainTest, TheRuleThatDecidedIsNamedWithThePatternsThatMatch) {
  const Policy policy({Deny("secret", "*", "*.secret"), Allow("cameras", "*camera*", "camera.*")});
  const Explanation explanation = Explain(policy, "spiffe://lab/camera/1", Action::kDiscover, "camera.left");
  EXPECT_EQ(Verdict(explanation.decision), "yes by cameras");
  EXPECT_EQ(explanation.principal_pattern, "*camera*");
  EXPECT_EQ(explanation.channel_pattern, "camera.*");
  ASSERT_THAT(explanation.near_misses, SizeIs(1));
  EXPECT_EQ(explanation.near_misses[0].rule->name, "secret");
  EXPECT_FALSE(explanation.near_misses[0].channel_matches);
}

TEST(ExplainTest, WhereNoRuleDecidesThoseThatNearlyDidAreNamed) {
  const Policy policy({Allow("viewers", "viewer", "camera.*"), Allow("robots", "robot", "robot.*"),
                       Allow("producers", "robot", "camera.*", Action::kRegister)});
  const Explanation explanation = Explain(policy, "robot", Action::kDiscover, "camera.left");
  EXPECT_EQ(Verdict(explanation.decision), "no rule");
  ASSERT_THAT(explanation.near_misses, SizeIs(3));
  EXPECT_FALSE(explanation.near_misses[0].principal_matches);
  EXPECT_FALSE(explanation.near_misses[1].channel_matches);
  EXPECT_FALSE(explanation.near_misses[2].action_matches);
}

}  // namespace
}  // namespace pylabhub::policy
