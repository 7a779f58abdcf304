#include "tests/bench/waiting.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <climits>

namespace pylabhub::bench {

static_assert(std::atomic<uint32_t>::is_always_lock_free && sizeof(std::atomic<uint32_t>) == 4,
              "the kernel sees a plain 32-bit word");

void FutexWait(std::atomic<uint32_t>& word, uint32_t expected) {
  const timespec slice = {.tv_sec = 0, .tv_nsec = 100'000'000};
  syscall(SYS_futex, &word, FUTEX_WAIT, expected, &slice, nullptr, 0);
}

void FutexWake(std::atomic<uint32_t>& word) {
  syscall(SYS_futex, &word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

bool SleepWhile(std::atomic<uint32_t>& word, uint32_t expected, uint64_t deadline_ticks) {
  // Acquire, here and below: what the peer wrote before it changed the word can be read after this returns.
  while (word.load(std::memory_order_acquire) == expected) {
    if (NowTicks() > deadline_ticks) return false;
    FutexWait(word, expected);
  }
  return true;
}

}  // namespace pylabhub::bench
