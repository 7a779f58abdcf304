#include "client/cli/plot_frame.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/table.h"

namespace pylabhub::cli {
namespace {

constexpr size_t kLabelColumns = 10;
constexpr size_t kRowsAround = 3;  // the title, the axis, its labels

// Dots, 2 by 4 in a character.
class Canvas {
 public:
  Canvas(size_t columns, size_t rows) : columns_(columns), rows_(rows), cells_(columns * rows, 0) {}

  int64_t dots_across() const { return static_cast<int64_t>(columns_) * 2; }
  int64_t dots_down() const { return static_cast<int64_t>(rows_) * 4; }

  void Line(int64_t x0, int64_t y0, int64_t x1, int64_t y1) {
    const int64_t steps = std::max<int64_t>({std::abs(x1 - x0), std::abs(y1 - y0), 1});
    for (int64_t i = 0; i <= steps; ++i) Dot(x0 + (x1 - x0) * i / steps, y0 + (y1 - y0) * i / steps);
  }

  std::string Row(size_t row) const {
    std::string text;
    for (size_t column = 0; column < columns_; ++column) {
      const uint32_t bits = cells_[row * columns_ + column];
      if (bits == 0) {
        text += ' ';
        continue;
      }
      // U+2800 + bits, in UTF-8.
      text += '\xE2';
      text += static_cast<char>(0xA0U | (bits >> 6U));
      text += static_cast<char>(0x80U | (bits & 0x3FU));
    }
    return text;
  }

 private:
  void Dot(int64_t x, int64_t y) {
    if (x < 0 || y < 0 || x >= dots_across() || y >= dots_down()) return;
    // The bit of each dot, as Unicode numbers them.
    static constexpr std::array<std::array<uint8_t, 2>, 4> kBits = {
        {{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}}};
    uint8_t& cell = cells_[static_cast<size_t>(y / 4) * columns_ + static_cast<size_t>(x / 2)];
    cell |= kBits[static_cast<size_t>(y % 4)][static_cast<size_t>(x % 2)];
  }

  size_t columns_;
  size_t rows_;
  std::vector<uint8_t> cells_;
};

struct Range {
  double least = std::numeric_limits<double>::infinity();
  double most = -std::numeric_limits<double>::infinity();
  bool empty() const { return least > most; }
};

bool IsShown(const PlotPoint& point, absl::Time end, absl::Duration window) {
  return point.time > end - window && point.time <= end;
}

Range RangeOf(const std::deque<PlotPoint>& points, absl::Time end, absl::Duration window) {
  Range range;
  for (const PlotPoint& point : points) {
    if (!IsShown(point, end, window) || !std::isfinite(point.value)) continue;
    range.least = std::min(range.least, point.value);
    range.most = std::max(range.most, point.value);
  }
  return range;
}

// A line through the middle where all values are the same.
Range WithHeight(const Range& range) {
  if (range.empty()) return {.least = -1, .most = 1};
  if (range.most > range.least) return range;
  const double half = range.least == 0 ? 1 : std::abs(range.least) * 0.01;
  return {.least = range.least - half, .most = range.most + half};
}

std::string NumberText(double value) { return absl::StrFormat("%.4g", value); }

std::string Right(const std::string& text, size_t width) {
  const size_t taken = WidthOf(text);
  return taken < width ? absl::StrCat(std::string(width - taken, ' '), text) : text;
}

void Draw(const std::deque<PlotPoint>& points, absl::Time end, absl::Duration window, const Range& range,
          Canvas& canvas) {
  struct Place {
    int64_t x = 0;
    int64_t y = 0;
  };
  Place last;
  bool is_broken = true;  // the next point joins none
  for (const PlotPoint& point : points) {
    if (!IsShown(point, end, window)) continue;
    if (!std::isfinite(point.value)) {
      is_broken = true;
      continue;
    }
    const double across = 1 - absl::FDivDuration(end - point.time, window);
    // Halves: the difference of two doubles may be infinite. Of the least numbers there are it may be nothing.
    const double height = range.most / 2 - range.least / 2;
    const double up = height > 0 ? std::clamp((point.value / 2 - range.least / 2) / height, 0.0, 1.0) : 0.5;
    const Place place = {
        .x = static_cast<int64_t>(across * static_cast<double>(canvas.dots_across() - 1)),
        .y = static_cast<int64_t>(std::lround((1 - up) * static_cast<double>(canvas.dots_down() - 1)))};
    if (is_broken) last = place;
    canvas.Line(last.x, last.y, place.x, place.y);
    last = place;
    is_broken = false;
  }
}

std::string Title(const std::deque<PlotPoint>& points, const Range& range, const PlotShape& shape) {
  const std::string unit = shape.unit.empty() ? "" : absl::StrCat(" ", shape.unit);
  const std::string left = absl::StrCat(
      shape.name, points.empty() ? "" : absl::StrCat("  ", NumberText(points.back().value), unit));
  if (range.empty()) return absl::StrCat(left, "  (nothing yet)");
  return absl::StrCat(left, "  min ", NumberText(range.least), "  max ", NumberText(range.most));
}

std::string Repeated(absl::string_view text, size_t times) {
  std::string repeated;
  for (size_t i = 0; i < times; ++i) absl::StrAppend(&repeated, text);
  return repeated;
}

}  // namespace

std::vector<std::string> PlotFrame(const std::deque<PlotPoint>& points, absl::Time end,
                                   const PlotShape& shape) {
  const size_t columns = std::max(shape.columns, kLeastColumns) - kLabelColumns - 1;
  const size_t rows = std::max(shape.rows, kLeastRows) - kRowsAround;
  const Range seen = RangeOf(points, end, shape.window);
  const Range range = WithHeight(seen);
  Canvas canvas(columns, rows);
  Draw(points, end, shape.window, range, canvas);

  std::vector<std::string> lines = {Title(points, seen, shape)};
  for (size_t row = 0; row < rows; ++row) {
    std::string label;
    if (row == 0) label = NumberText(range.most);
    if (row == rows / 2 && rows >= 5) label = NumberText(range.most / 2 + range.least / 2);
    if (row + 1 == rows) label = NumberText(range.least);
    lines.push_back(
        absl::StrCat(Right(label, kLabelColumns - 1), label.empty() ? " │" : " ┤", canvas.Row(row)));
  }
  const std::string begin = absl::StrCat("-", absl::FormatDuration(shape.window));
  lines.push_back(absl::StrCat(std::string(kLabelColumns, ' '), "└", Repeated("─", columns)));
  lines.push_back(
      absl::StrCat(std::string(kLabelColumns + 1, ' '), begin, Right("now", columns - begin.size())));
  return lines;
}

}  // namespace pylabhub::cli
