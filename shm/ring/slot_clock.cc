#include "shm/ring/slot_clock.h"

#include <algorithm>
#include <ctime>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace pylabhub::shm {
namespace {

constexpr int64_t kMinRateNanos = 1'000'000;  // shorter, and the error of two readings spoils the rate
constexpr int64_t kMaxAnchorNanos = 100'000'000;
constexpr int kReadAttempts = 4;
constexpr uint64_t kMaxTicksApart = 100'000;  // some 30 us
// No processor counts slower or faster.
constexpr double kMinTicksPerNano = 0.5;
constexpr double kMaxTicksPerNano = 10;

int64_t RealtimeNanos() {
  timespec now = {};
  clock_gettime(CLOCK_REALTIME, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

bool CounterIsInvariant() {
#if defined(__x86_64__)
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid(0x80000007, &eax, &ebx, &ecx, &edx) != 0 && (edx & (1u << 8)) != 0;
#else
  return false;
#endif
}

}  // namespace

SlotClock::SlotClock() : invariant_(CounterIsInvariant()) {
  rate_ = ReadBoth();
  last_ns_ = rate_.ns;
}

SlotClock::Reading SlotClock::ReadBoth() {
  Reading reading{};
  for (int attempt = 0; attempt < kReadAttempts; ++attempt) {
    const uint64_t before = Ticks();
    reading.ns = RealtimeNanos();
    reading.ticks = Ticks();
    reading.close = reading.ticks - before < kMaxTicksApart;
    // A pause between the two would be taken for a slow clock.
    if (reading.close) break;
  }
  return reading;
}

int64_t SlotClock::Anchor() {
  const Reading now = ReadBoth();
  const int64_t elapsed_ns = now.ns - rate_.ns;
  anchor_ticks_ = now.ticks;
  anchor_ns_ = now.ns;
  max_ticks_ = 0;
  const bool measurable = invariant_ && now.close && now.ticks > rate_.ticks;
  if (!rate_.close || elapsed_ns < 0 || elapsed_ns > 10 * kMaxAnchorNanos) {
    // The clock was set, or nobody asked for a long time: measure again.
    rate_ = now;
  } else if (measurable && elapsed_ns >= kMinRateNanos) {
    MeasureRate(now, elapsed_ns);
  }
  return last_ns_ = std::max(last_ns_, now.ns);
}

void SlotClock::MeasureRate(const Reading& now, int64_t elapsed_ns) {
  const uint64_t elapsed_ticks = now.ticks - rate_.ticks;
  const double ticks_per_ns = static_cast<double>(elapsed_ticks) / static_cast<double>(elapsed_ns);
  if (ticks_per_ns < kMinTicksPerNano || ticks_per_ns > kMaxTicksPerNano) {
    rate_ = now;
    return;
  }
  ns_per_tick_q32_ =
      static_cast<uint64_t>((static_cast<unsigned __int128>(elapsed_ns) << 32) / elapsed_ticks);
  // An anchor holds no longer than ten times what its rate was measured over.
  const int64_t hold_ns = std::min(10 * elapsed_ns, kMaxAnchorNanos);
  max_ticks_ = static_cast<uint64_t>(ticks_per_ns * static_cast<double>(hold_ns));
  if (elapsed_ns >= kMaxAnchorNanos) rate_ = now;
}

}  // namespace pylabhub::shm
