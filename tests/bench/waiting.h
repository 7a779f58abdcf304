// The two ways to wait for a word that another process writes: look again and again, or sleep in the kernel.
#pragma once

#include <atomic>
#include <cstdint>

#include "tests/bench/clock.h"

namespace pylabhub::bench {

// Calls `ready` until it says yes or the deadline passes; returns what it said last. Reads the clock seldom
// enough not to count.
template <typename Ready>
inline bool SpinUntil(uint64_t deadline_ticks, Ready ready) {
  for (;;) {
    for (int i = 0; i < 256; ++i) {
      if (ready()) return true;
      std::atomic_signal_fence(std::memory_order_seq_cst);  // look at memory again, not at a register
    }
    if (NowTicks() > deadline_ticks) return ready();
  }
}

// Sleeps while `word` holds `expected`, at most 100 ms, so that the caller can look at its deadline. May wake
// early. The word may be shared between processes.
void FutexWait(std::atomic<uint32_t>& word, uint32_t expected);

// Wakes every process that sleeps on `word`.
void FutexWake(std::atomic<uint32_t>& word);

// Sleeps until `word` differs from `expected` or the deadline passes; returns whether it differs.
bool SleepWhile(std::atomic<uint32_t>& word, uint32_t expected, uint64_t deadline_ticks);

}  // namespace pylabhub::bench
