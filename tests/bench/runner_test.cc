// A short run of every bench with the subjects that need no peer: that each yields a figure, not how good it
// is.
#include "tests/bench/runner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string>

#include "tests/bench/limit_subject.h"
#include "tests/bench/message_queue_subject.h"
#include "tests/bench/pylabhub_subject.h"
#include "tests/bench/ring_subject.h"
#include "tests/bench/unix_socket_subject.h"

namespace pylabhub::bench {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

RunOptions Short(const std::string& only, int rounds = 1) {
  const absl::StatusOr<Cores> cores = FirstTwoCores();
  return {.suite = "data",
          .only = only,
          .rounds = rounds,
          .trial = {.cores = cores.value_or(Cores{0, 0}), .seconds = 0.005}};
}

TEST(RunBenchesTest, EveryBenchHasAFigureOfEverySubjectThatTakesPartInTableAndJson) {
  std::ostringstream table, json, errors;
  const std::vector<Subject> subjects = {LimitSubject(), RingSubject(), PylabhubSubject(),
                                         MessageQueueSubject(), UnixSocketSubject()};
  // Trials of 5 ms: where somebody else wants the processors, one may end before it is warm. The next round makes up for it.
  const auto result = RunBenches(Short(".", /*rounds=*/3), subjects, {table, &json, errors});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_LE(result->failed_trials, 3) << errors.str();

  std::map<std::string, std::set<std::string>> subjects_of;
  std::istringstream lines(json.str());
  for (std::string line; std::getline(lines, line);) {
    const auto figure = nlohmann::json::parse(line);
    EXPECT_GT(figure.at("value").get<double>(), 0) << line;
    EXPECT_FALSE(figure.at("unit").get<std::string>().empty()) << line;
    subjects_of[figure.at("bench")].insert(figure.at("subject"));
  }
  for (const Bench& bench : AllBenches()) {
    std::set<std::string> expected;
    for (const Subject& subject : subjects) {
      if (subject.measures(bench) && (!bench.ours_alone || subject.name == kOurs))
        expected.insert(subject.name);
    }
    EXPECT_THAT(expected, Contains(kOurs));
    EXPECT_EQ(subjects_of[bench.name], expected) << bench.name;
    EXPECT_THAT(table.str(), HasSubstr(bench.name));
  }
}

TEST(RunBenchesTest, AFailedTrialIsAnErrorLineAndTheOthersGoOn) {
  const Subject broken = {.name = "broken",
                          .measures = [](const Bench&) { return true; },
                          .measure = [](const Bench&, const TrialSettings&) -> absl::StatusOr<Sample> {
                            return absl::DataLossError("torn");
                          }};
  std::ostringstream table, errors;
  const auto result = RunBenches(Short("rtt.64B.spin"), {broken, LimitSubject()}, {table, nullptr, errors});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->failed_trials, 1);
  EXPECT_THAT(errors.str(), HasSubstr("error: rtt.64B.spin broken round 1: torn"));
  EXPECT_THAT(table.str(), HasSubstr("limit"));
}

TEST(RunBenchesTest, AMissedTargetIsPrintedAndCounted) {
  const auto always = [](double value) {
    return [value](const Bench&, const TrialSettings&) -> absl::StatusOr<Sample> {
      return Sample{.value = value, .tail = 1};
    };
  };
  const auto all = [](const Bench&) { return true; };
  std::ostringstream table, errors;
  const auto result =
      RunBenches(Short("rtt.64B.sleep"), {{"limit", all, always(10)}, {"pylabhub", all, always(12)}},
                 {table, nullptr, errors});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->missed_targets, 1);
  EXPECT_THAT(table.str(), HasSubstr("target rtt.64B.sleep <= 1.10 x limit: 1.20 MISSED"));
}

TEST(RunBenchesTest, BenchesOfAFamilyAreMeasuredInTheSameRounds) {
  std::string order;
  const Subject recorder = {
      .name = "recorder",
      .measures = [](const Bench&) { return true; },
      .measure = [&](const Bench& bench, const TrialSettings&) -> absl::StatusOr<Sample> {
        order += bench.name + " ";
        return Sample{.value = 1};
      }};
  std::ostringstream table, errors;
  RunOptions options = Short("^(stream|overwrite).64");
  options.rounds = 2;
  ASSERT_TRUE(RunBenches(options, {recorder}, {table, nullptr, errors}).ok());
  EXPECT_EQ(order, "stream.64B overwrite.64B stream.64B overwrite.64B stream.64KiB stream.64KiB ");
}

TEST(RunBenchesTest, ASuiteThatHasNoBenchIsAnError) {
  std::ostringstream table, errors;
  RunOptions options = Short(".");
  options.suite = "nothing";
  EXPECT_THAT(RunBenches(options, {}, {table, nullptr, errors}).status().ToString(),
              HasSubstr("suite 'nothing'"));
}

TEST(RunBenchesTest, APatternThatSelectsNothingIsAnErrorThatListsTheBenches) {
  std::ostringstream table, errors;
  const auto result = RunBenches(Short("nothing"), {}, {table, nullptr, errors});
  EXPECT_THAT(result.status().ToString(), HasSubstr("rtt.64B.spin"));
}

TEST(RunBenchesTest, APatternThatIsNoneIsAnErrorThatQuotesIt) {
  std::ostringstream table, errors;
  const auto result = RunBenches(Short("rtt("), {}, {table, nullptr, errors});
  EXPECT_THAT(result.status().ToString(), HasSubstr("rtt("));
}

}  // namespace
}  // namespace pylabhub::bench
