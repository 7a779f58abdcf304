// A store-load fence: every store before it is visible before any load after it is made.
#ifndef PYLABHUB_SHM_FULL_FENCE_H_
#define PYLABHUB_SHM_FULL_FENCE_H_

#include <atomic>

namespace pylabhub::shm {

inline void FullFence() {
#if defined(__SANITIZE_THREAD__)
  // ThreadSanitizer does not know fences; a locked instruction is one on every processor that it runs on.
  static std::atomic<int> dummy = 0;
  dummy.fetch_add(1, std::memory_order_seq_cst);
#else
  std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
}

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_FULL_FENCE_H_
