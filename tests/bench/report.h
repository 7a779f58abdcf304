// From the rounds' samples to medians, ratios, a table and JSON lines.
#pragma once

#include <ostream>
#include <string>
#include <vector>

#include "tests/bench/bench.h"

namespace pylabhub::bench {

// The samples of one subject in one bench, one a round.
struct Series {
  std::string subject;
  std::vector<Sample> samples;
};

// One figure: a median over the rounds.
struct Figure {
  std::string bench;
  std::string subject;
  std::string unit;
  double value = 0;
  // The fastest and the slowest round, in `unit`.
  double lowest = 0;
  double highest = 0;
  // The median of the rounds' own ratios to the limit of the same round, which the host's moods disturb
  // least. Above 1 is slower for times, faster for rates. NaN where the limit was not measured.
  double ratio_to_limit = 0;
  // Of each round, in `unit`.
  std::vector<double> rounds = {};
};

// `values` must not be empty. Of an even number, the mean of the middle two.
double Median(std::vector<double> values);

// The figures of one bench, in the order of `all`. Series without samples give none. A round trip gives each
// subject two figures: the median in `bench.name`, and the 99.9th percentile in `bench.name` + ".p99.9". So does a
// death: the longest of all rounds is `bench.name` + ".max". Streams are in messages a second (M msg/s) below 4 KiB or
// where nobody touches the bytes, else in bytes (GB/s).
std::vector<Figure> Summarise(const Bench& bench, const std::vector<Series>& all);

// Prints a table of one bench: the ratio first, then the figure, long times in us or ms.
void PrintTable(const std::vector<Figure>& figures, std::ostream& out);

// Prints a figure as one line of JSON: {"bench","subject","value","unit","ratio_to_limit"}. A ratio that is
// not known is null.
void PrintJsonLine(const Figure& figure, std::ostream& out);

}  // namespace pylabhub::bench
