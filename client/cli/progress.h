// How far long work has come: one line on standard error that is written over and over, if that is a terminal.
//
// Thread safety: thread-compatible.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace pylabhub::cli {

class Progress {
 public:
  Progress();
  // Takes the line away.
  ~Progress() { Clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // In place of what it showed. Does nothing without a terminal.
  void Show(absl::string_view text);
  void Clear();

 private:
  const bool is_shown_;
  bool is_there_ = false;
};

// "12.3 MB/s", for so many bytes in so long; "0 B/s" if no time has passed.
std::string PaceText(uint64_t bytes, absl::Duration elapsed);
// "1:02:03", "2:03": hours, minutes and seconds.
std::string ClockText(absl::Duration duration);

}  // namespace pylabhub::cli
