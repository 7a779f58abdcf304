#include "client/cli/table.h"

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace pylabhub::cli {
namespace {

constexpr absl::string_view kGap = "  ";

// The bytes of UTF-8 that do not begin a character are 10xxxxxx.
bool BeginsCharacter(char byte) { return (static_cast<unsigned char>(byte) & 0xC0U) != 0x80U; }

}  // namespace

size_t WidthOf(absl::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), BeginsCharacter));
}

void Table::AddRow(std::vector<std::string> cells) {
  for (std::string& cell : cells) cell = absl::Utf8SafeCHexEscape(cell);
  cells.resize(columns_.size());
  rows_.push_back(std::move(cells));
}

std::vector<std::string> Table::Lines() const {
  std::vector<std::string> titles;
  std::vector<size_t> widths;
  for (const Column& column : columns_) {
    titles.push_back(column.title);
    widths.push_back(WidthOf(column.title));
  }
  for (const std::vector<std::string>& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], WidthOf(row[i]));
  }
  std::vector<std::string> lines = {Line(titles, widths)};
  for (const std::vector<std::string>& row : rows_) lines.push_back(Line(row, widths));
  return lines;
}

std::string Table::Line(const std::vector<std::string>& cells, const std::vector<size_t>& widths) const {
  std::string line;
  for (size_t i = 0; i < cells.size(); ++i) {
    const std::string padding(widths[i] - WidthOf(cells[i]), ' ');
    const bool right = columns_[i].align == Align::kRight;
    absl::StrAppend(&line, i == 0 ? "" : kGap, right ? padding : "", cells[i], right ? "" : padding);
  }
  line.erase(line.find_last_not_of(' ') + 1);
  return line;
}

}  // namespace pylabhub::cli
