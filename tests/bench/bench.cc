#include "tests/bench/bench.h"

namespace pylabhub::bench {

const std::vector<Bench>& AllBenches() {
  constexpr uint64_t kKib = 1024;
  constexpr uint64_t kMib = 1024 * kKib;
  static const auto& benches = *new std::vector<Bench>{
      {"rtt.64B.spin", Shape::kRoundTrip, Waiting::kSpin, 64, 8},
      {"rtt.64B.sleep", Shape::kRoundTrip, Waiting::kSleep, 64, 8},
      {"rtt.64B.adaptive", Shape::kRoundTrip, Waiting::kAdaptive, 64, 8},
      {"rtt.4KiB.spin", Shape::kRoundTrip, Waiting::kSpin, 4 * kKib, 8},
      {"rtt.1MiB.spin", Shape::kRoundTrip, Waiting::kSpin, kMib, 8},
      {"stream.64B", Shape::kStream, Waiting::kSpin, 64, 256},
      {"stream.64KiB", Shape::kStream, Waiting::kSpin, 64 * kKib, 16},
      {"stream.1MiB", Shape::kStream, Waiting::kSpin, kMib, 16},
      {"stream.8MiB", Shape::kStream, Waiting::kSpin, 8 * kMib, 8},
  };
  return benches;
}

}  // namespace pylabhub::bench
