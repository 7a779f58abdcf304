// Collects what the rounds measured, and makes figures of it.
#pragma once

#include <string>
#include <vector>

#include "tests/bench/report.h"

namespace pylabhub::bench {

class Recorder {
 public:
  // The value of one round.
  void Add(const std::string& bench, const std::string& subject, const std::string& unit, double value);

  // Of every bench and subject, in the order in which they came first: medians over the rounds, and ratios to subject
  // `yardstick` in the same rounds.
  std::vector<Figure> Figures(const std::string& yardstick) const;

 private:
  std::vector<Figure> figures_;
};

// The `share` quantile of `values`, which must not be empty; share 0.5 is the median.
double Quantile(std::vector<double> values, double share);

}  // namespace pylabhub::bench
