#include "broker/access/policy_keeper.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/support/temp_folder.h"

namespace pylabhub::broker {
namespace {

using ::testing::HasSubstr;

std::string RuleCalled(const std::string& name) {
  return absl::StrCat("rules { name: \"", name, "\" principals: \"*\" actions: DISCOVER channels: \"*\" }\n");
}

// A keeper that looks only when it is told to, and what it published: the names of the first rules.
class PolicyKeeperTest : public ::testing::Test {
 protected:
  void Write(const std::string& text) { std::ofstream(path_) << text; }

  testing::TempFolder folder_;
  const std::string path_ = folder_ / "policy";
  std::vector<std::string> published_;
  std::vector<std::string> logged_;
  Metrics metrics_;
  PolicyKeeper keeper_{
      {.file = path_,
       .log =
           [this](const LogRecord& record) {
             std::string line = record.event;
             for (const auto& [key, value] : record.fields) absl::StrAppend(&line, " ", key, "=", value);
             logged_.push_back(line);
           },
       .publish =
           [this](const PolicyKeeper::PolicyPtr& policy) { published_.push_back(policy->rules()[0].name); }},
      metrics_};
};

TEST_F(PolicyKeeperTest, WhatIsGoodIsPublishedOnceHoweverOftenItIsRead) {
  Write(RuleCalled("one"));
  ASSERT_TRUE(keeper_.Reload().ok());
  ASSERT_TRUE(keeper_.Reload().ok());
  Write(RuleCalled("two"));
  ASSERT_TRUE(keeper_.Reload().ok());
  EXPECT_THAT(published_, ::testing::ElementsAre("one", "two"));
  EXPECT_THAT(metrics_.Text(), HasSubstr("\npylabhub_broker_policy_loads_total{result=\"good\"} 2\n"));
  EXPECT_THAT(metrics_.Text(), HasSubstr("\npylabhub_broker_policy_rules 1\n"));
}

TEST_F(PolicyKeeperTest, WhatIsBadIsNotPublishedAndToldOnce) {
  Write(RuleCalled("one"));
  ASSERT_TRUE(keeper_.Reload().ok());
  Write("rules {");
  EXPECT_EQ(keeper_.Reload().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(keeper_.Reload().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(published_, ::testing::ElementsAre("one"));
  EXPECT_THAT(metrics_.Text(), HasSubstr("\npylabhub_broker_policy_loads_total{result=\"bad\"} 1\n"));
  ASSERT_EQ(logged_.size(), 2u);
  EXPECT_THAT(logged_[1], HasSubstr("policy_refused"));
  EXPECT_THAT(logged_[1], HasSubstr("the policy before stands"));
  // What stood before is no news when it is back; the same fault later is.
  Write(RuleCalled("one"));
  EXPECT_TRUE(keeper_.Reload().ok());
  Write("rules {");
  EXPECT_FALSE(keeper_.Reload().ok());
  EXPECT_EQ(logged_.size(), 3u);
  EXPECT_THAT(published_, ::testing::ElementsAre("one"));
}

TEST_F(PolicyKeeperTest, AFileThatIsNotThereIsNamed) {
  const absl::Status status = keeper_.Reload();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr(path_ + ": cannot be read"));
}

TEST_F(PolicyKeeperTest, StoppingIsIdempotentAndNeedsNoStart) {
  keeper_.Stop();
  keeper_.Stop();
  Write(RuleCalled("one"));
  EXPECT_TRUE(keeper_.Reload().ok());
}

}  // namespace
}  // namespace pylabhub::broker
