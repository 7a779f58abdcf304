#include "tests/bench/control/recorder.h"

#include <algorithm>
#include <limits>

namespace pylabhub::bench {
namespace {

double RatioOf(const Figure& figure, const Figure* yardstick) {
  std::vector<double> ratios;
  const size_t rounds = yardstick == nullptr ? 0 : std::min(figure.rounds.size(), yardstick->rounds.size());
  for (size_t round = 0; round < rounds; ++round)
    ratios.push_back(figure.rounds[round] / yardstick->rounds[round]);
  return ratios.empty() ? std::numeric_limits<double>::quiet_NaN() : Median(ratios);
}

}  // namespace

void Recorder::Add(const std::string& bench, const std::string& subject, const std::string& unit,
                   double value) {
  const auto same = std::find_if(figures_.begin(), figures_.end(), [&](const Figure& figure) {
    return figure.bench == bench && figure.subject == subject;
  });
  if (same != figures_.end()) {
    same->rounds.push_back(value);
    return;
  }
  Figure figure;
  figure.bench = bench;
  figure.subject = subject;
  figure.unit = unit;
  figure.rounds = {value};
  figures_.push_back(figure);
}

std::vector<Figure> Recorder::Figures(const std::string& yardstick) const {
  std::vector<Figure> figures = figures_;
  for (Figure& figure : figures) {
    const auto other = std::find_if(figures_.begin(), figures_.end(), [&](const Figure& candidate) {
      return candidate.bench == figure.bench && candidate.subject == yardstick;
    });
    const auto [lowest, highest] = std::minmax_element(figure.rounds.begin(), figure.rounds.end());
    figure.lowest = *lowest;
    figure.highest = *highest;
    figure.value = Median(figure.rounds);
    figure.ratio_to_limit = RatioOf(figure, other == figures_.end() ? nullptr : &*other);
  }
  return figures;
}

double Quantile(std::vector<double> values, double share) {
  const auto at = values.begin() + static_cast<ptrdiff_t>(share * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

}  // namespace pylabhub::bench
