// Tests report.cc: medians, ratios and the lines that others parse.
#include "tests/bench/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

namespace pylabhub::bench {
namespace {

const Bench kRoundTrip = {"rtt.64B.spin", Shape::kRoundTrip, Waiting::kSpin, 64, 8};

TEST(MedianTest, IsTheMiddleOneOrTheMeanOfTheMiddleTwo) {
  EXPECT_EQ(Median({3}), 3);
  EXPECT_EQ(Median({9, 1, 2}), 2);
  EXPECT_EQ(Median({4, 1, 3, 9}), 3.5);
}

TEST(SummariseTest, ARatioIsTheMedianOfTheRoundsOwnRatios) {
  const std::vector<Figure> figures = Summarise(
      kRoundTrip, {{"limit", {{100, 1}, {200, 1}, {100, 1}}}, {"ring", {{130, 1}, {220, 1}, {150, 1}}}});
  ASSERT_EQ(figures.size(), 4u);
  EXPECT_EQ(figures[1].subject, "ring");
  EXPECT_EQ(figures[1].bench, "rtt.64B.spin");
  EXPECT_EQ(figures[1].value, 150);
  EXPECT_EQ(figures[1].lowest, 130);
  EXPECT_EQ(figures[1].highest, 220);
  // 1.3, 1.1 and 1.5; the ratio of the medians would be 1.5.
  EXPECT_DOUBLE_EQ(figures[1].ratio_to_limit, 1.3);
}

TEST(SummariseTest, ARoundTripHasATailFigureToo) {
  const std::vector<Figure> figures =
      Summarise(kRoundTrip, {{"limit", {{100, 400}}}, {"ring", {{130, 800}}}});
  ASSERT_EQ(figures.size(), 4u);
  EXPECT_EQ(figures[3].bench, "rtt.64B.spin.p99.9");
  EXPECT_EQ(figures[3].value, 800);
  EXPECT_EQ(figures[3].ratio_to_limit, 2);
}

TEST(SummariseTest, SmallStreamsCountMessagesAndLargeOnesBytes) {
  const std::vector<Series> series = {{"ring", {{2e6, 0}}}};
  EXPECT_EQ(Summarise({"stream.64B", Shape::kStream, Waiting::kSpin, 64, 8}, series)[0].unit, "M msg/s");
  const Figure large = Summarise({"stream.1MiB", Shape::kStream, Waiting::kSpin, 1 << 20, 8}, series)[0];
  EXPECT_EQ(large.unit, "GB/s");
  EXPECT_DOUBLE_EQ(large.value, 2e6 * (1 << 20) / 1e9);
}

TEST(SummariseTest, WithoutTheLimitARatioIsUnknownAndJsonSaysNull) {
  const std::vector<Figure> figures = Summarise(kRoundTrip, {{"limit", {}}, {"ring", {{130, 1}}}});
  ASSERT_EQ(figures.size(), 2u);
  EXPECT_TRUE(std::isnan(figures[0].ratio_to_limit));
  std::ostringstream line;
  PrintJsonLine(figures[0], line);
  EXPECT_TRUE(nlohmann::json::parse(line.str()).at("ratio_to_limit").is_null());
}

TEST(SummariseTest, TheLongestDeathIsThatOfAllRounds) {
  const std::vector<Figure> figures =
      Summarise({"death.reader", Shape::kReaderDeath}, {{"pylabhub", {{3e6, 4e6}, {5e6, 9e6}, {1e6, 2e6}}}});
  ASSERT_EQ(figures.size(), 2u);
  EXPECT_EQ(figures[0].value, 3e6);
  EXPECT_EQ(figures[1].bench, "death.reader.max");
  EXPECT_EQ(figures[1].value, 9e6);
}

TEST(PrintTableTest, LongTimesAreInMicrosecondsAndMilliseconds) {
  const auto line = [](double ns) {
    std::ostringstream table;
    PrintTable({{.bench = "b", .subject = "s", .unit = "ns", .value = ns}}, table);
    return table.str();
  };
  EXPECT_THAT(line(9'999), testing::HasSubstr("9999 ns"));
  EXPECT_THAT(line(41'000), testing::HasSubstr("41.00 us"));
  EXPECT_THAT(line(10'500'000), testing::HasSubstr("10.50 ms"));
}

TEST(PrintJsonLineTest, HasTheFiveKeysInOrder) {
  std::ostringstream line;
  PrintJsonLine({.bench = "b", .subject = "s", .unit = "ns", .value = 2, .ratio_to_limit = 1.5}, line);
  EXPECT_EQ(line.str(),
            "{\"bench\":\"b\",\"subject\":\"s\",\"value\":2.0,\"unit\":\"ns\",\"ratio_to_limit\":1.5}\n");
}

}  // namespace
}  // namespace pylabhub::bench
