#include "shm/slot_clock.h"

#include <algorithm>
#include <ctime>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace pylabhub::shm {
namespace {

constexpr int64_t kMinRateNanos = 1'000'000;  // shorter, and the error of two readings spoils the rate
constexpr int64_t kMaxAnchorNanos = 100'000'000;

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
  rate_ticks_ = Ticks();
  rate_ns_ = last_ns_ = RealtimeNanos();
}

int64_t SlotClock::Anchor() {
  const uint64_t ticks = Ticks();
  const int64_t now_ns = RealtimeNanos();
  const int64_t elapsed_ns = now_ns - rate_ns_;
  anchor_ticks_ = ticks;
  anchor_ns_ = now_ns;
  max_ticks_ = 0;
  if (elapsed_ns < 0 || elapsed_ns > 10 * kMaxAnchorNanos) {
    // The clock was set, or nobody asked for a long time: measure again.
    rate_ticks_ = ticks;
    rate_ns_ = now_ns;
  } else if (invariant_ && elapsed_ns >= kMinRateNanos && ticks > rate_ticks_) {
    const uint64_t elapsed_ticks = ticks - rate_ticks_;
    ns_per_tick_q32_ =
        static_cast<uint64_t>((static_cast<unsigned __int128>(elapsed_ns) << 32) / elapsed_ticks);
    // An anchor holds no longer than ten times what its rate was measured over.
    const int64_t hold_ns = std::min(10 * elapsed_ns, kMaxAnchorNanos);
    max_ticks_ = static_cast<uint64_t>(static_cast<double>(elapsed_ticks) * hold_ns / elapsed_ns);
    if (elapsed_ns >= kMaxAnchorNanos) {
      rate_ticks_ = ticks;
      rate_ns_ = now_ns;
    }
  }
  return last_ns_ = std::max(last_ns_, now_ns);
}

}  // namespace pylabhub::shm
