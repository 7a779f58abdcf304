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
#include "tests/bench/pylabhub_subject.h"
#include "tests/bench/ring_subject.h"

namespace pylabhub::bench {
namespace {

using ::testing::HasSubstr;

RunOptions Short(const std::string& only) {
  const absl::StatusOr<Cores> cores = FirstTwoCores();
  return {.only = only, .rounds = 1, .trial = {.cores = cores.value_or(Cores{0, 0}), .seconds = 0.005}};
}

TEST(RunBenchesTest, EveryBenchHasAFigureOfEverySubjectInTableAndJson) {
  std::ostringstream table, json, errors;
  const auto failed =
      RunBenches(Short("."), {LimitSubject(), RingSubject(), PylabhubSubject()}, {table, &json, errors});
  ASSERT_TRUE(failed.ok()) << failed.status();
  EXPECT_EQ(*failed, 0) << errors.str();

  std::map<std::string, std::set<std::string>> subjects_of;
  std::istringstream lines(json.str());
  for (std::string line; std::getline(lines, line);) {
    const auto figure = nlohmann::json::parse(line);
    EXPECT_GT(figure.at("value").get<double>(), 0) << line;
    EXPECT_GT(figure.at("ratio_to_limit").get<double>(), 0) << line;
    EXPECT_FALSE(figure.at("unit").get<std::string>().empty()) << line;
    subjects_of[figure.at("bench")].insert(figure.at("subject"));
  }
  for (const Bench& bench : AllBenches()) {
    EXPECT_THAT(subjects_of[bench.name], ::testing::ElementsAre("limit", "pylabhub", "ring"));
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
  const auto failed = RunBenches(Short("rtt.64B.spin"), {broken, LimitSubject()}, {table, nullptr, errors});
  ASSERT_TRUE(failed.ok()) << failed.status();
  EXPECT_EQ(*failed, 1);
  EXPECT_THAT(errors.str(), HasSubstr("error: rtt.64B.spin broken round 1: torn"));
  EXPECT_THAT(table.str(), HasSubstr("limit"));
}

TEST(RunBenchesTest, APatternThatSelectsNothingIsAnErrorThatListsTheBenches) {
  std::ostringstream table, errors;
  const auto failed = RunBenches(Short("nothing"), {}, {table, nullptr, errors});
  EXPECT_THAT(failed.status().ToString(), HasSubstr("rtt.64B.spin"));
}

TEST(RunBenchesTest, APatternThatIsNoneIsAnErrorThatQuotesIt) {
  std::ostringstream table, errors;
  const auto failed = RunBenches(Short("rtt("), {}, {table, nullptr, errors});
  EXPECT_THAT(failed.status().ToString(), HasSubstr("rtt("));
}

}  // namespace
}  // namespace pylabhub::bench
