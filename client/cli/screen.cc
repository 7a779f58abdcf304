#include "client/cli/screen.h"

#define NCURSES_NOMACROS 1
#include <curses.h>
#include <langinfo.h>
#include <unistd.h>

#include <algorithm>
#include <clocale>
#include <cstdio>

#include "absl/strings/string_view.h"

namespace pylabhub::cli {
namespace {

// Axes and curves are drawn in UTF-8, whatever language is set.
void SpeakUtf8() {
  std::setlocale(LC_CTYPE, "");
  if (absl::string_view(nl_langinfo(CODESET)) != "UTF-8") std::setlocale(LC_CTYPE, "C.UTF-8");
}

// The beginning of `line` that takes at most `columns` places.
std::string Cut(const std::string& line, size_t columns) {
  size_t taken = 0;
  for (size_t i = 0; i < line.size(); ++i) {
    const bool begins_character = (static_cast<unsigned char>(line[i]) & 0xC0U) != 0x80U;
    if (begins_character && ++taken > columns) return line.substr(0, i);
  }
  return line;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Screen>> Screen::Open() {
  const bool has_terminal = isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1;
  if (has_terminal) SpeakUtf8();
  SCREEN* terminal = has_terminal ? newterm(nullptr, stdout, stdin) : nullptr;
  if (terminal == nullptr) {
    return absl::FailedPreconditionError(
        "there is no terminal to draw on (or TERM names none that is known); --batch writes plain lines");
  }
  set_term(terminal);
  cbreak();
  noecho();
  curs_set(0);
  return std::unique_ptr<Screen>(new Screen(terminal));
}

Screen::~Screen() {
  endwin();
  delscreen(terminal_);
}

size_t Screen::rows() const { return static_cast<size_t>(std::max(getmaxy(stdscr), 1)); }

size_t Screen::columns() const { return static_cast<size_t>(std::max(getmaxx(stdscr), 1)); }

void Screen::Show(const std::vector<std::string>& lines, size_t highlighted) {
  werase(stdscr);
  for (size_t row = 0; row < std::min(lines.size(), rows()); ++row) {
    if (row == highlighted) wattr_on(stdscr, A_REVERSE, nullptr);
    mvwaddstr(stdscr, static_cast<int>(row), 0, Cut(lines[row], columns()).c_str());
    if (row == highlighted) wattr_off(stdscr, A_REVERSE, nullptr);
  }
  wrefresh(stdscr);
}

char Screen::Key(absl::Duration timeout) {
  wtimeout(stdscr, static_cast<int>(absl::ToInt64Milliseconds(std::max(timeout, absl::ZeroDuration()))));
  const int key = wgetch(stdscr);
  return key > 0 && key < 128 ? static_cast<char>(key) : '\0';
}

}  // namespace pylabhub::cli
