// The whole terminal, through ncurses: shows lines, and hears keys. Everything that is worth a test is elsewhere.
//
// Thread safety: one at a time in a process, for one thread.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

struct screen;

namespace pylabhub::cli {

class Screen {
 public:
  // kFailedPrecondition if standard input and output are no terminal that ncurses knows; the message says what to do.
  static absl::StatusOr<std::unique_ptr<Screen>> Open();

  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;
  // The terminal is as it was before.
  ~Screen();

  size_t rows() const;
  size_t columns() const;

  // Cut at the edges. The line with the number `highlighted` is shown inverted.
  void Show(const std::vector<std::string>& lines, size_t highlighted);

  // The key that was pressed, at the latest after `timeout` 0; a change of the terminal's size, and a key that is no letter,
  // are 0 too, at once.
  char Key(absl::Duration timeout);

 private:
  explicit Screen(screen* terminal) : terminal_(terminal) {}

  screen* terminal_;
};

}  // namespace pylabhub::cli
