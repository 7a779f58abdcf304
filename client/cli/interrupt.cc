#include "client/cli/interrupt.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>

#include "absl/time/clock.h"

namespace pylabhub::cli {
namespace {

std::atomic<bool> interrupted = false;
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler may only touch lock-free atomics");

void OnSignal(int) {
  // Relaxed: it guards no other memory.
  interrupted.store(true, std::memory_order_relaxed);
}

}  // namespace

void WatchForInterrupts() {
  struct sigaction action = {};
  action.sa_handler = OnSignal;  // No SA_RESTART: a blocking read must return.
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  action.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &action, nullptr);
}

bool Interrupted() { return interrupted.load(std::memory_order_relaxed); }

bool Pause(absl::Duration duration) {
  const absl::Duration end = MonotonicClock() + duration;
  while (!Interrupted()) {
    const absl::Duration left = end - MonotonicClock();
    if (left <= absl::ZeroDuration()) return true;
    absl::SleepFor(std::min(left, kInterruptSlice));
  }
  return false;
}

absl::Duration MonotonicClock() {
  return absl::FromChrono(std::chrono::steady_clock::now().time_since_epoch());
}

}  // namespace pylabhub::cli
