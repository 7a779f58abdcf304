// A curve drawn with characters: time to the right, the newest value at the right edge, an axis with units on the left.
//
//   celsius  21.53 Cel                      min 20.1  max 22.4
//      22.4 ┤  ⢀⡠⠤⠤⡀
//           │⡠⠔⠁    ⠈⠢⡀
//      20.1 ┤          ⠈⠉
//           └────────────────
//            -10s         now
//
// Each character has 2 by 4 dots (U+2800 to U+28FF). Pure: draws what it is given, and reads no clock.
#pragma once

#include <cstddef>
#include <deque>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace pylabhub::cli {

struct PlotPoint {
  absl::Time time = {};
  double value = 0;  // the curve is broken where it is not finite
};

struct PlotShape {
  std::string name = {};  // of the field
  std::string unit = {};
  absl::Duration window = absl::Seconds(10);
  size_t columns = 80;  // of the terminal; at least kLeastColumns are drawn
  size_t rows = 24;     // as many lines are returned, at least kLeastRows
};

inline constexpr size_t kLeastColumns = 24;
inline constexpr size_t kLeastRows = 6;

// `points` in the order of their times, of which those in (end - window, end] are drawn.
std::vector<std::string> PlotFrame(const std::deque<PlotPoint>& points, absl::Time end,
                                   const PlotShape& shape);

}  // namespace pylabhub::cli
