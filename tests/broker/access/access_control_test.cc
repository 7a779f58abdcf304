#include "broker/access/access_control.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "broker/refusal.h"

namespace pylabhub::broker {
namespace {

using policy::Action;
using policy::Rule;
using ::testing::HasSubstr;

std::shared_ptr<const policy::Policy> PolicyOf(std::vector<Rule> rules) {
  return std::make_shared<const policy::Policy>(std::move(rules));
}

class AccessControlTest : public ::testing::Test {
 protected:
  Metrics metrics_;
  AccessControl access_{{"operator"}, metrics_};
};

TEST_F(AccessControlTest, WithNoPolicyEverybodyMayDoAllButAdministrateAndTakeFromOthers) {
  const CallerRights anybody = access_.RightsOf("anybody");
  for (const Action action :
       {Action::kRegister, Action::kDiscover, Action::kConsume, Action::kWatch, Action::kSchema}) {
    EXPECT_TRUE(anybody.May(action, "a")) << NameOf(action);
    EXPECT_TRUE(anybody.MayAny(action)) << NameOf(action);
  }
  EXPECT_FALSE(anybody.May(Action::kForce, "a"));
  EXPECT_FALSE(anybody.May(Action::kAdmin, ""));
  EXPECT_TRUE(access_.RightsOf("operator").May(Action::kAdmin, ""));
  EXPECT_EQ(anybody.watch_view(), "");
  EXPECT_EQ(HistoryIdFor("h", anybody), "h");
}

TEST_F(AccessControlTest, OnceThereIsAPolicyItAloneDecides) {
  access_.Publish(
      PolicyOf({{.name = "a", .principals = {"alice"}, .actions = {Action::kDiscover}, .channels = {"a*"}}}));
  EXPECT_TRUE(access_.RightsOf("alice").May(Action::kDiscover, "ab"));
  EXPECT_FALSE(access_.RightsOf("alice").May(Action::kDiscover, "b"));
  EXPECT_FALSE(access_.RightsOf("bob").May(Action::kDiscover, "ab"));
  EXPECT_FALSE(access_.RightsOf("operator").May(Action::kAdmin, ""));
}

TEST_F(AccessControlTest, RightsStayAsTheyWereAndAreKnownToBeOld) {
  const CallerRights before = access_.RightsOf("alice");
  EXPECT_TRUE(access_.IsCurrent(before));
  access_.Publish(PolicyOf({}));
  EXPECT_FALSE(access_.IsCurrent(before));
  EXPECT_TRUE(before.May(Action::kDiscover, "a"));
  EXPECT_FALSE(access_.RightsOf("alice").May(Action::kDiscover, "a"));
}

TEST_F(AccessControlTest, ADenialIsCountedAndNamesTheRuleForTheLogAlone) {
  access_.Publish(PolicyOf({{.name = "never",
                             .principals = {"*"},
                             .actions = {Action::kConsume},
                             .channels = {"*"},
                             .allows = false,
                             .line = 7}}));
  const absl::Status status = access_.RightsOf("alice").Check(Action::kConsume, "a");
  const auto details = DetailsOf(status);
  ASSERT_TRUE(details.has_value());
  EXPECT_EQ(details->reason, "POLICY_DENIED");
  EXPECT_EQ(details->metadata.at("action"), "CONSUME");
  EXPECT_EQ(details->log_fields.at("rule"), "never (line 7)");
  EXPECT_THAT(std::string(status.message()), ::testing::Not(HasSubstr("never")));
  EXPECT_THAT(metrics_.Text(), HasSubstr("\npylabhub_broker_policy_denied_total{action=\"consume\"} 1\n"));
}

}  // namespace
}  // namespace pylabhub::broker
