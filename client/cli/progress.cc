#include "client/cli/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/quantity.h"

namespace pylabhub::cli {
namespace {

void Write(absl::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

}  // namespace

Progress::Progress() : is_shown_(isatty(STDERR_FILENO) == 1) {}

void Progress::Show(absl::string_view text) {
  if (!is_shown_) return;
  // Back to the first column, and what was there beyond the new text is erased.
  Write(absl::StrCat("\r", text, "\033[K"));
  is_there_ = true;
}

void Progress::Clear() {
  if (is_there_) Write("\r\033[K");
  is_there_ = false;
}

std::string PaceText(uint64_t bytes, absl::Duration elapsed) {
  const double elapsed_s = absl::ToDoubleSeconds(elapsed);
  return ByteRateText(elapsed_s > 0 ? static_cast<double>(bytes) / elapsed_s : 0);
}

std::string ClockText(absl::Duration duration) {
  const int64_t all_s = std::max<int64_t>(absl::ToInt64Seconds(duration), 0);
  const int64_t hours = all_s / 3600;
  const int64_t minutes = all_s / 60 % 60;
  if (hours > 0) return absl::StrFormat("%d:%02d:%02d", hours, minutes, all_s % 60);
  return absl::StrFormat("%d:%02d", minutes, all_s % 60);
}

}  // namespace pylabhub::cli
