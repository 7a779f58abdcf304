// Numbers for people: short, with their units.
#pragma once

#include <cstdint>
#include <string>

#include "absl/time/time.h"

namespace pylabhub::cli {

// "17 B", "4 KiB", "1.5 MiB".
std::string BytesText(uint64_t bytes);

// Three significant digits, below 10,000 every digit before the point: "0", "0.25", "12.5", "1234", "12.3k", "1.23M".
std::string RateText(double per_second);

// Of a rate in bytes: "0 B/s", "1.50 KB/s", "12.3 MB/s" (of 1,000).
std::string ByteRateText(double bytes_per_second);

// "850us", "3.2ms", "2m3s": no more digits than anybody reads.
std::string DurationText(absl::Duration duration);

}  // namespace pylabhub::cli
