// Fences, for the orders that no single access can express.
#ifndef PYLABHUB_SHM_OS_FULL_FENCE_H_
#define PYLABHUB_SHM_OS_FULL_FENCE_H_

#include <atomic>

namespace pylabhub::shm {

// A store-load fence: every store before it is visible before any load after it is made.
inline void FullFence() {
#if defined(__SANITIZE_THREAD__)
  // ThreadSanitizer does not know fences; a locked instruction is one on every processor that it runs on.
  static std::atomic<int> dummy = 0;
  dummy.fetch_add(1, std::memory_order_seq_cst);
#else
  std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
}

// A load-load fence: every load before it is made before any access after it. For a second look at what says whether
// plain data that was read meanwhile is whole.
inline void ReadFence() {
#if defined(__SANITIZE_THREAD__)
  std::atomic_signal_fence(std::memory_order_seq_cst);  // ThreadSanitizer runs where loads stay in order
#else
  std::atomic_thread_fence(std::memory_order_acquire);
#endif
}

// A store-store fence: every access before it is made before any store after it.
inline void WriteFence() {
#if defined(__SANITIZE_THREAD__)
  std::atomic_signal_fence(std::memory_order_seq_cst);
#else
  std::atomic_thread_fence(std::memory_order_release);
#endif
}

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_OS_FULL_FENCE_H_
