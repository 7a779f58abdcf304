// Tests target.cc: what counts as reached, and the lines that say so.
#include "tests/bench/target.h"

#include <gtest/gtest.h>

#include <set>
#include <sstream>

#include "tests/bench/bench.h"

namespace pylabhub::bench {
namespace {

Figure Of(const std::string& bench, const std::string& subject, const std::vector<double>& rounds) {
  return {.bench = bench, .subject = subject, .unit = "ns", .value = Median(rounds), .rounds = rounds};
}

class PrintVerdictsTest : public testing::Test {
 protected:
  int Print(const Target& target, const std::vector<Figure>& figures, bool quiet = true) {
    lines_.str("");
    return PrintVerdicts({target}, figures, quiet, lines_);
  }

  std::ostringstream lines_;
};

TEST_F(PrintVerdictsTest, ARatioIsTheMedianOfTheRoundsOwnRatios) {
  // 0.5, 1 and 1.5; the ratio of the medians would be 0.75.
  EXPECT_EQ(Print({"rtt", Target::kAtMost, 1.1, "ring"},
                  {Of("rtt", "pylabhub", {100, 150, 300}), Of("rtt", "ring", {200, 150, 200})}),
            0);
  EXPECT_EQ(lines_.str(), "  target rtt <= 1.10 x ring: 1.00 ok\n");
}

TEST_F(PrintVerdictsTest, TheBoundItselfIsReachedAndWhatIsBeyondIsMissed) {
  const auto missed = [&](Target::Bound bound, double ours) {
    return Print({"f", bound, 2, "ring"}, {Of("f", "pylabhub", {ours}), Of("f", "ring", {10})});
  };
  EXPECT_EQ(missed(Target::kAtMost, 20), 0);
  EXPECT_EQ(missed(Target::kAtMost, 21), 1);
  EXPECT_EQ(lines_.str(), "  target f <= 2.00 x ring: 2.10 MISSED\n");
  EXPECT_EQ(missed(Target::kAtLeast, 20), 0);
  EXPECT_EQ(missed(Target::kAtLeast, 19), 1);
  EXPECT_EQ(lines_.str(), "  target f >= 2.00 x ring: 1.90 MISSED\n");
}

TEST_F(PrintVerdictsTest, AnotherBenchOfOursIsNamed) {
  EXPECT_EQ(Print({"fast", Target::kAtLeast, 1.2, "pylabhub", "slow"},
                  {Of("fast", "pylabhub", {3}), Of("slow", "pylabhub", {2})}),
            0);
  EXPECT_EQ(lines_.str(), "  target fast >= 1.20 x slow: 1.50 ok\n");
}

TEST_F(PrintVerdictsTest, ATimeIsPrintedInItsUnit) {
  EXPECT_EQ(Print({"open", Target::kAtMost, 200'000}, {Of("open", "pylabhub", {1'500'000})}), 1);
  EXPECT_EQ(lines_.str(), "  target open <= 200 us: 1.5 ms MISSED\n");
}

TEST_F(PrintVerdictsTest, AMissThatABusyMachineExplainsDoesNotCount) {
  const Target tail = {"tail", Target::kAtMost, 2000, "", "", true};
  EXPECT_EQ(Print(tail, {Of("tail", "pylabhub", {3000})}, /*quiet=*/false), 0);
  EXPECT_EQ(lines_.str(), "  target tail <= 2 us: 3 us not counted: the machine was busy\n");
  EXPECT_EQ(Print(tail, {Of("tail", "pylabhub", {3000})}, /*quiet=*/true), 1);
}

TEST_F(PrintVerdictsTest, WhatWasNotMeasuredIsNotJudged) {
  EXPECT_EQ(Print({"f", Target::kAtMost, 1, "ring"}, {Of("f", "pylabhub", {9})}), 0);
  EXPECT_EQ(lines_.str(), "");
}

TEST(AllTargetsTest, EachIsAboutAFigureOfABench) {
  std::set<std::string> figures;
  for (const Bench& bench : AllBenches()) {
    for (const Figure& figure : Summarise(bench, {{"pylabhub", {{1, 1}}}})) figures.insert(figure.bench);
  }
  for (const Target& target : AllTargets()) {
    EXPECT_EQ(figures.count(target.figure), 1u) << target.figure;
    const std::string& other = target.than_figure.empty() ? target.figure : target.than_figure;
    EXPECT_EQ(figures.count(other), 1u) << other;
  }
}

}  // namespace
}  // namespace pylabhub::bench
