// What a peer can write, copied once: what is checked is what is used, whatever is written meanwhile.
#ifndef PYLABHUB_SHM_SEGMENT_PRIVATE_COPY_H_
#define PYLABHUB_SHM_SEGMENT_PRIVATE_COPY_H_

#include <atomic>
#include <cstddef>
#include <cstring>

namespace pylabhub::shm {

// Copies the first `bytes` bytes of `shared` into `copy`. The compiler may not go back to `shared` for them.
template <typename T>
void CopyFixedPart(T& copy, const T& shared, size_t bytes = sizeof(T)) {
  std::memcpy(static_cast<void*>(&copy), static_cast<const void*>(&shared), bytes);
  std::atomic_signal_fence(std::memory_order_seq_cst);
}

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_SEGMENT_PRIVATE_COPY_H_
