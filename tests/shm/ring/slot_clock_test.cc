#include "shm/ring/slot_clock.h"

#include <gtest/gtest.h>

#include <ctime>

namespace pylabhub::shm {
namespace {

int64_t RealtimeNanos() {
  timespec now = {};
  clock_gettime(CLOCK_REALTIME, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

TEST(SlotClockTest, ItNeverGoesBack) {
  SlotClock clock;
  int64_t last_ns = clock.NowNanos();
  for (int i = 0; i < 200'000; ++i) {
    const int64_t now_ns = clock.NowNanos();
    ASSERT_GE(now_ns, last_ns);
    last_ns = now_ns;
  }
}

TEST(SlotClockTest, ItIsWithinAMillisecondOfTheRealtimeClock) {
  constexpr int64_t kToleranceNanos = 1'000'000;
  SlotClock clock;
  for (int i = 0; i < 50'000; ++i) {
    const int64_t before_ns = RealtimeNanos();
    const int64_t now_ns = clock.NowNanos();
    const int64_t after_ns = RealtimeNanos();
    ASSERT_GE(now_ns, before_ns - kToleranceNanos);
    ASSERT_LE(now_ns, after_ns + kToleranceNanos);
  }
}

}  // namespace
}  // namespace pylabhub::shm
