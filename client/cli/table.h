// Rows of text under titles, each column as wide as its widest cell.
//
//   CHANNEL             LAG
//   sensor.temperature    3
//
// Thread safety: thread-compatible.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace pylabhub::cli {

// How many places of a terminal `text` takes, each character being one: its UTF-8 code points.
size_t WidthOf(absl::string_view text);

enum class Align { kLeft, kRight };

struct Column {
  std::string title = {};
  Align align = Align::kLeft;
};

class Table {
 public:
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  // A cell for each column. Control characters come out escaped: a cell cannot play tricks on a terminal.
  void AddRow(std::vector<std::string> cells);

  bool empty() const { return rows_.empty(); }

  // The titles, then the rows; no line ends in spaces.
  std::vector<std::string> Lines() const;

 private:
  std::string Line(const std::vector<std::string>& cells, const std::vector<size_t>& widths) const;

  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace pylabhub::cli
