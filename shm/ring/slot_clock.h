// Wall-clock time for every slot at the price of a register read.
//
// clock_gettime takes about 20 ns, as long as the rest of a small slot. So the time-stamp counter is read
// instead and turned into nanoseconds with a rate measured against CLOCK_REALTIME, which is asked again ten
// times a second. Between two such anchors the error is that of the rate, well below a microsecond. Times
// never go back. Where the processor's counter is not invariant, every call asks the kernel.
//
// Thread safety: thread-compatible.
#ifndef PYLABHUB_SHM_RING_SLOT_CLOCK_H_
#define PYLABHUB_SHM_RING_SLOT_CLOCK_H_

#include <cstdint>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

namespace pylabhub::shm {

class SlotClock {
 public:
  SlotClock();

  // Nanoseconds since the Unix epoch.
  int64_t NowNanos() {
    const uint64_t ticks = Ticks() - anchor_ticks_;
    if (ticks >= max_ticks_) [[unlikely]]
      return Anchor();
    const auto elapsed_ns =
        static_cast<int64_t>((static_cast<unsigned __int128>(ticks) * ns_per_tick_q32_) >> 32);
    return last_ns_ = anchor_ns_ + elapsed_ns > last_ns_ ? anchor_ns_ + elapsed_ns : last_ns_;
  }

 private:
  static uint64_t Ticks() {
#if defined(__x86_64__)
    return __rdtsc();
#else
    return 0;
#endif
  }
  // The two clocks at one moment.
  struct Reading {
    uint64_t ticks;
    int64_t ns;
    bool close;  // in time to each other
  };
  static Reading ReadBoth();
  void MeasureRate(const Reading& now, int64_t elapsed_ns);
  // Asks the kernel, and measures the rate since the last time where that was long enough ago.
  int64_t Anchor();

  bool invariant_ = false;
  uint64_t anchor_ticks_ = 0;
  int64_t anchor_ns_ = 0;
  Reading rate_ = {};             // where the measurement of the rate began
  uint64_t ns_per_tick_q32_ = 0;  // 32 bits of fraction
  uint64_t max_ticks_ = 0;        // how long an anchor holds; 0: ask every time
  int64_t last_ns_ = 0;
};

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_RING_SLOT_CLOCK_H_
