// Waiting as every handle does it: spin for about the time that a wake takes, then sleep in slices, and
// between slices look whether the peer still lives.
//
// Thread safety: thread-compatible.
#ifndef PYLABHUB_SHM_CHANNEL_WAIT_H_
#define PYLABHUB_SHM_CHANNEL_WAIT_H_

#include <atomic>
#include <chrono>
#include <cstdint>

#include "absl/time/time.h"
#include "shm/channel_config.h"

namespace pylabhub::shm {

// No sleep and no spin goes on for longer without a look at the peer: no futex wakes on death.
inline constexpr std::chrono::milliseconds kLivenessInterval{10};
// Who was busy a moment ago should not feel for long that its peer is dead: so long after it began, a wait looks more often.
inline constexpr std::chrono::milliseconds kYoung{100};
inline constexpr std::chrono::milliseconds kYoungLivenessInterval{4};
// The first sleep of a handle whose peer does not know that it may sleep (edge W).
inline constexpr std::chrono::microseconds kFirstSleep{50};

class Wait {
 public:
  using Clock = std::chrono::steady_clock;

  // Begins now, and ends after `timeout`.
  Wait(const WaitOptions& options, absl::Duration timeout);

  // How often to look between two looks at the clock, if a look is one at a cache line that nobody changes.
  static constexpr int kLooksPerClockRead = 64;

  // Calls `ready` until it returns true, or the time to spin or the whole wait is over. At least once.
  template <typename Ready>
  bool Spin(Ready ready, int looks_per_clock_read = kLooksPerClockRead) {
    const Clock::time_point until = SpinEnd();
    for (;;) {
      for (int i = 0; i < looks_per_clock_read; ++i) {
        if (ready()) return true;
        // Not a pause instruction: on recent processors it takes as long as a round trip between two cores.
        std::atomic_signal_fence(std::memory_order_seq_cst);
      }
      if (Clock::now() >= until) return false;
    }
  }

  bool expired() const { return Clock::now() >= deadline_; }
  // False for a wait that only spins.
  bool may_sleep() const { return may_sleep_; }
  // How long to sleep now; `first`: the peer does not know yet that this handle sleeps.
  absl::Duration SleepTime(bool first) const;
  // How often to look at the peer.
  Clock::duration liveness_interval() const {
    return Clock::now() - start_ < kYoung ? kYoungLivenessInterval : kLivenessInterval;
  }
  int64_t elapsed_ns() const {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - start_).count();
  }

 private:
  Clock::time_point SpinEnd() const;

  Clock::time_point start_;
  Clock::time_point deadline_;
  Clock::duration spin_;
  bool may_sleep_;
};

// Says when it is time to ask the kernel about a peer again.
class LivenessTimer {
 public:
  bool Due(Wait::Clock::duration interval = kLivenessInterval) {
    const Wait::Clock::time_point now = Wait::Clock::now();
    if (now - looked_ < interval) return false;
    looked_ = now;
    return true;
  }

 private:
  Wait::Clock::time_point looked_;
};

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_CHANNEL_WAIT_H_
