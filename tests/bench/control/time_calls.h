// How long calls take, one after another.
#pragma once

#include <chrono>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace pylabhub::bench {

using Clock = std::chrono::steady_clock;

inline double NsSince(Clock::time_point begin) {
  return std::chrono::duration<double, std::nano>(Clock::now() - begin).count();
}

inline Clock::time_point NowPlus(double seconds) {
  return Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

// Calls `call` again and again until `end`, once at least; what each took, in ns. The first failure ends it.
template <typename Call>
absl::StatusOr<std::vector<double>> TimeCalls(Clock::time_point end, Call call) {
  std::vector<double> times;
  while (times.empty() || Clock::now() < end) {
    const Clock::time_point begin = Clock::now();
    if (absl::Status status = call(); !status.ok()) return status;
    times.push_back(NsSince(begin));
  }
  return times;
}

}  // namespace pylabhub::bench
