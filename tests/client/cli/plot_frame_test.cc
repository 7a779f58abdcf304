#include "client/cli/plot_frame.h"

#include <gtest/gtest.h>

#include <limits>

#include "client/cli/table.h"

namespace pylabhub::cli {
namespace {

const absl::Time kEnd = absl::FromUnixSeconds(1'000'000);
const PlotShape kShape = {.name = "celsius", .unit = "Cel", .columns = 31, .rows = 7};

PlotPoint Ago(double seconds, double value) {
  return {.time = kEnd - absl::Seconds(seconds), .value = value};
}

// The part of a line with dots, without the axis.
std::string Dots(const std::string& line) {
  const std::string bar = line.find("┤") != std::string::npos ? "┤" : "│";
  const size_t at = line.find(bar);
  return at == std::string::npos ? "" : line.substr(at + bar.size());
}

std::string AllDots(const std::vector<std::string>& lines) {
  std::string dots;
  for (size_t row = 1; row + 2 < lines.size(); ++row) dots += Dots(lines[row]);
  return dots;
}

size_t CountCells(const std::string& dots) {
  size_t cells = 0;
  for (size_t at = dots.find('\xE2'); at != std::string::npos; at = dots.find('\xE2', at + 1)) ++cells;
  return cells;
}

TEST(PlotFrameTest, TheFrameHasTheWantedSize) {
  const std::vector<std::string> lines = PlotFrame({Ago(9, 1), Ago(0, 2)}, kEnd, kShape);
  ASSERT_EQ(lines.size(), 7U);
  for (size_t row = 1; row + 1 < lines.size(); ++row) EXPECT_EQ(WidthOf(lines[row]), 31U) << lines[row];
}

TEST(PlotFrameTest, ARisingLineGoesFromTheLowerLeftToTheUpperRight) {
  const std::vector<std::string> lines = PlotFrame({Ago(9.99, 20), Ago(0, 22)}, kEnd, kShape);
  EXPECT_EQ(lines[0], "celsius  22 Cel  min 20  max 22");
  EXPECT_EQ(lines[1].substr(0, 14), "       22 ┤ ");
  EXPECT_EQ(lines[4].substr(0, 13), "       20 ┤");
  // The top line's dots are at its end, the bottom line's at its beginning.
  EXPECT_EQ(Dots(lines[1]).substr(0, 5), "     ");
  EXPECT_NE(Dots(lines[1]).back(), ' ');
  EXPECT_NE(Dots(lines[4]).front(), ' ');
  EXPECT_EQ(Dots(lines[4]).back(), ' ');
  EXPECT_EQ(lines[6], "           -10s             now");
}

TEST(PlotFrameTest, WhatIsOlderThanTheWindowIsNotDrawn) {
  const std::vector<std::string> lines = PlotFrame({Ago(10, 1000), Ago(9, 1), Ago(1, 2)}, kEnd, kShape);
  EXPECT_EQ(lines[0], "celsius  2 Cel  min 1  max 2");
}

TEST(PlotFrameTest, ACurveIsBrokenWhereAValueIsNoNumber) {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  const std::string whole = AllDots(PlotFrame({Ago(9, 1), Ago(5, 1), Ago(1, 1)}, kEnd, kShape));
  const std::string broken = AllDots(PlotFrame({Ago(9, 1), Ago(5, kNan), Ago(1, 1)}, kEnd, kShape));
  EXPECT_GT(CountCells(whole), 10U);
  EXPECT_EQ(CountCells(broken), 2U);
}

TEST(PlotFrameTest, ValuesThatAreAllTheSameAreALineThroughTheMiddle) {
  const std::vector<std::string> lines = PlotFrame({Ago(9, 5), Ago(0, 5)}, kEnd, kShape);
  EXPECT_EQ(lines[0], "celsius  5 Cel  min 5  max 5");
  EXPECT_EQ(CountCells(Dots(lines[1])), 0U);
  EXPECT_EQ(CountCells(Dots(lines[4])), 0U);
}

TEST(PlotFrameTest, TheGreatestNumbersThereAreCanBeDrawn) {
  constexpr double kMost = std::numeric_limits<double>::max();
  const std::vector<std::string> lines = PlotFrame({Ago(9, -kMost), Ago(0, kMost)}, kEnd, kShape);
  EXPECT_GT(CountCells(AllDots(lines)), 10U);
}

TEST(PlotFrameTest, TheLeastNumbersThereAreCanBeDrawn) {
  constexpr double kLeast = std::numeric_limits<double>::denorm_min();
  const std::vector<std::string> lines = PlotFrame({Ago(9, 0), Ago(0, kLeast)}, kEnd, kShape);
  EXPECT_GT(CountCells(AllDots(lines)), 5U);
}

TEST(PlotFrameTest, WithNothingToDrawItSaysSo) {
  const std::vector<std::string> lines = PlotFrame({}, kEnd, kShape);
  EXPECT_EQ(lines[0], "celsius  (nothing yet)");
  EXPECT_EQ(CountCells(AllDots(lines)), 0U);
}

TEST(PlotFrameTest, ATerminalThatIsTooSmallGetsTheSmallestPlot) {
  EXPECT_EQ(PlotFrame({Ago(1, 1)}, kEnd, {.columns = 1, .rows = 1}).size(), kLeastRows);
}

}  // namespace
}  // namespace pylabhub::cli
