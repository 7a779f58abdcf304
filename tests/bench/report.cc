#include "tests/bench/report.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_format.h"

namespace pylabhub::bench {
namespace {

constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

double Highest(std::vector<double> values) { return *std::max_element(values.begin(), values.end()); }

// One of the things that a bench yields.
struct Quantity {
  std::string bench;
  std::string unit;
  std::function<double(const Sample&)> of;
  std::function<double(std::vector<double>)> over_rounds = &Median;
};

double ValueOf(const Sample& sample) { return sample.value; }
double TailOf(const Sample& sample) { return sample.tail; }

Quantity RateOf(const Bench& bench) {
  if (bench.payload_bytes < 4096 || bench.shape == Shape::kHandoff) {
    return {bench.name, "M msg/s", [](const Sample& sample) { return sample.value / 1e6; }};
  }
  const double gigabytes = static_cast<double>(bench.payload_bytes) / 1e9;
  return {bench.name, "GB/s", [gigabytes](const Sample& sample) { return sample.value * gigabytes; }};
}

std::vector<Quantity> QuantitiesOf(const Bench& bench) {
  switch (bench.shape) {
    case Shape::kRoundTrip:
      return {{bench.name, "ns", &ValueOf}, {bench.name + ".p99.9", "ns", &TailOf}};
    case Shape::kReaderDeath:
    case Shape::kWriterDeath:
      return {{bench.name, "ns", &ValueOf}, {bench.name + ".max", "ns", &TailOf, &Highest}};
    case Shape::kCreate:
    case Shape::kOpen:
      return {{bench.name, "ns", &ValueOf}};
    case Shape::kStream:
    case Shape::kBatches:
    case Shape::kHandoff:
    case Shape::kOverwrite:
      break;
  }
  return {RateOf(bench)};
}

Figure FigureOf(const Quantity& quantity, const Series& series, const Series* limit) {
  std::vector<double> values;
  std::vector<double> ratios;
  for (size_t round = 0; round < series.samples.size(); ++round) {
    values.push_back(quantity.of(series.samples[round]));
    if (limit != nullptr && round < limit->samples.size()) {
      ratios.push_back(values.back() / quantity.of(limit->samples[round]));
    }
  }
  const auto [lowest, highest] = std::minmax_element(values.begin(), values.end());
  return {.bench = quantity.bench,
          .subject = series.subject,
          .unit = quantity.unit,
          .value = quantity.over_rounds(values),
          .lowest = *lowest,
          .highest = *highest,
          .ratio_to_limit = ratios.empty() ? kUnknown : Median(ratios),
          .rounds = values};
}

// Times in the unit in which they are easily read; everything else in its own.
struct Scaled {
  double divisor;
  std::string unit;
};

Scaled ScaleOf(const Figure& figure) {
  if (figure.unit != "ns" || figure.value < 10'000) return {1, figure.unit};
  if (figure.value < 10'000'000) return {1e3, "us"};
  return {1e6, "ms"};
}

std::string Short(double value) {
  if (value < 10) return absl::StrFormat("%.3f", value);
  if (value < 100) return absl::StrFormat("%.2f", value);
  return absl::StrFormat("%.0f", value);
}

}  // namespace

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

std::vector<Figure> Summarise(const Bench& bench, const std::vector<Series>& all) {
  const Series* limit = nullptr;
  for (const Series& series : all) {
    if (series.subject == "limit" && !series.samples.empty()) limit = &series;
  }
  std::vector<Figure> figures;
  for (const Quantity& quantity : QuantitiesOf(bench)) {
    for (const Series& series : all) {
      if (!series.samples.empty()) figures.push_back(FigureOf(quantity, series, limit));
    }
  }
  return figures;
}

void PrintTable(const std::vector<Figure>& figures, std::ostream& out) {
  for (const Figure& figure : figures) {
    const double known = figure.ratio_to_limit;
    const std::string ratio = std::isnan(known) ? "-"
                              : known < 0.1     ? absl::StrFormat("%.4f", known)
                                                : absl::StrFormat("%.2f", known);
    const auto [divisor, unit] = ScaleOf(figure);
    out << absl::StrFormat("%-24s %-10s %8s x %9s %-7s  %s .. %s\n", figure.bench, figure.subject, ratio,
                           Short(figure.value / divisor), unit, Short(figure.lowest / divisor),
                           Short(figure.highest / divisor));
  }
  out << std::flush;
}

void PrintJsonLine(const Figure& figure, std::ostream& out) {
  nlohmann::ordered_json line = {{"bench", figure.bench},
                                 {"subject", figure.subject},
                                 {"value", figure.value},
                                 {"unit", figure.unit},
                                 {"ratio_to_limit", nullptr}};
  if (!std::isnan(figure.ratio_to_limit)) line["ratio_to_limit"] = figure.ratio_to_limit;
  out << line.dump() << std::endl;
}

}  // namespace pylabhub::bench
