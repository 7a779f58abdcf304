#include "client/cli/quantity.h"

#include <array>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace pylabhub::cli {
namespace {

// With three significant digits, but all of a whole number below 10,000.
std::string Digits(double value) {
  if (value == 0) return "0";
  if (value >= 99.95) return absl::StrFormat("%.0f", value);
  if (value >= 9.995) return absl::StrFormat("%.1f", value);
  return absl::StrFormat("%.2f", value);
}

}  // namespace

std::string BytesText(uint64_t bytes) {
  constexpr std::array<const char*, 4> kUnits = {" B", " KiB", " MiB", " GiB"};
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  for (; value >= 1024 && unit + 1 < kUnits.size(); ++unit) value /= 1024;
  const bool whole = value == std::floor(value);
  return absl::StrCat(whole ? absl::StrFormat("%.0f", value) : absl::StrFormat("%.1f", value), kUnits[unit]);
}

std::string RateText(double per_second) {
  if (per_second >= 999.5e6) return absl::StrCat(Digits(per_second / 1e9), "G");
  if (per_second >= 9'999.5) {
    return per_second >= 999.5e3 ? absl::StrCat(Digits(per_second / 1e6), "M")
                                 : absl::StrCat(Digits(per_second / 1e3), "k");
  }
  return Digits(per_second);
}

std::string ByteRateText(double bytes_per_second) {
  constexpr std::array<const char*, 4> kUnits = {" B/s", " KB/s", " MB/s", " GB/s"};
  size_t unit = 0;
  for (; bytes_per_second >= 999.5 && unit + 1 < kUnits.size(); ++unit) bytes_per_second /= 1000;
  return absl::StrCat(Digits(bytes_per_second), kUnits[unit]);
}

std::string DurationText(absl::Duration duration) {
  if (duration >= absl::Minutes(1)) return absl::FormatDuration(absl::Trunc(duration, absl::Seconds(1)));
  if (duration >= absl::Seconds(1))
    return absl::FormatDuration(absl::Trunc(duration, absl::Milliseconds(100)));
  if (duration >= absl::Milliseconds(1)) {
    return absl::FormatDuration(absl::Trunc(duration, absl::Microseconds(100)));
  }
  return absl::FormatDuration(absl::Trunc(duration, absl::Microseconds(1)));
}

}  // namespace pylabhub::cli
