#include "tests/bench/clock.h"

#include <time.h>

namespace pylabhub::bench {
namespace {

uint64_t NowNs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC_RAW, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

double Calibrate() {
  constexpr uint64_t kCalibrationNs = 50'000'000;
  const uint64_t start_ns = NowNs();
  const uint64_t start_ticks = NowTicks();
  uint64_t end_ns = start_ns;
  while (end_ns - start_ns < kCalibrationNs) end_ns = NowNs();
  return static_cast<double>(end_ns - start_ns) / static_cast<double>(NowTicks() - start_ticks);
}

}  // namespace

double NsPerTick() {
  static const double ns_per_tick = Calibrate();
  return ns_per_tick;
}

uint64_t TicksOf(double seconds) { return static_cast<uint64_t>(seconds * 1e9 / NsPerTick()); }

}  // namespace pylabhub::bench
