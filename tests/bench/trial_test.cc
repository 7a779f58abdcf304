// Tests trial.cc: what happens when one of the two processes fails.
#include "tests/bench/trial.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

namespace pylabhub::bench {
namespace {

using ::testing::HasSubstr;

class TrialTest : public testing::Test {
 protected:
  TrialTest() {
    const absl::StatusOr<Cores> cores = FirstTwoCores();
    // With one core both sides share it: slow, and still right.
    settings_ = {.cores = cores.value_or(Cores{0, 0}), .seconds = 0.01};
  }
  ~TrialTest() override {
    EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1) << "a child outlived its trial";
    EXPECT_EQ(errno, ECHILD);
  }

  TrialSettings settings_;
};

TEST_F(TrialTest, ReturnsWhatTheMeasuringSideMeasured) {
  const auto sample = RunTrial(
      settings_,
      [](StartLine& line) -> absl::StatusOr<Sample> {
        if (absl::Status met = line.Meet(); !met.ok()) return met;
        return Sample{.value = 5, .tail = 6};
      },
      [](StartLine& line) { return line.Meet(); });
  ASSERT_TRUE(sample.ok()) << sample.status();
  EXPECT_EQ(sample->value, 5);
  EXPECT_EQ(sample->tail, 6);
}

TEST_F(TrialTest, ReturnsWhatEachOfSeveralSidesReturned) {
  std::vector<Side> sides;
  for (int i = 0; i < 4; ++i) {
    sides.push_back({"side", settings_.cores.other, [i](StartLine& line) -> absl::StatusOr<Sample> {
                       // Twice: at the start, and at the end.
                       if (absl::Status met = line.Meet(); !met.ok()) return met;
                       if (absl::Status met = line.Meet(); !met.ok()) return met;
                       return Sample{.value = static_cast<double>(i)};
                     }});
  }
  const auto samples = RunSides(settings_, sides);
  ASSERT_TRUE(samples.ok()) << samples.status();
  ASSERT_EQ(samples->size(), 4u);
  for (int i = 0; i < 4; ++i) EXPECT_EQ((*samples)[i].value, i);
}

TEST_F(TrialTest, AFailureIsReportedWithItsSide) {
  const auto sample = RunTrial(
      settings_, [](StartLine&) -> absl::StatusOr<Sample> { return Sample{}; },
      [](StartLine&) -> absl::Status { return absl::DataLossError("message 3 is not what was written"); });
  EXPECT_THAT(sample.status().ToString(), HasSubstr("other side: message 3 is not what was written"));
}

TEST_F(TrialTest, ACrashNamesTheSignal) {
  const auto sample = RunTrial(
      settings_,
      [](StartLine&) -> absl::StatusOr<Sample> {
        raise(SIGKILL);
        return Sample{};
      },
      [](StartLine&) { return absl::OkStatus(); });
  EXPECT_THAT(sample.status().ToString(), HasSubstr("measuring side: killed by signal 9"));
}

TEST_F(TrialTest, APeerThatHangsAfterTheOtherFailedIsKilled) {
  const auto sample = RunTrial(
      settings_, [](StartLine&) -> absl::StatusOr<Sample> { return absl::InternalError("no channel"); },
      [](StartLine&) -> absl::Status {
        for (;;) pause();
      });
  EXPECT_THAT(sample.status().ToString(), HasSubstr("no channel"));
}

}  // namespace
}  // namespace pylabhub::bench
