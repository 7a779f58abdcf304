// How long a lossless producer has been held up over one slot, and whether that is too long for somebody.
//
// Thread safety: thread-compatible; it belongs to the producer's thread.
#ifndef PYLABHUB_SHM_CHANNEL_PATIENCE_H_
#define PYLABHUB_SHM_CHANNEL_PATIENCE_H_

#include <chrono>
#include <cstdint>

#include "absl/time/time.h"
#include "shm/channel/wait.h"

namespace pylabhub::shm {

class PatienceClock {
 public:
  // Slot `sequence` cannot be written yet. The time counts from the first such call for it.
  void HeldUp(uint64_t sequence) {
    if (sequence == sequence_) return;
    sequence_ = sequence;
    since_ = Wait::Clock::now();
  }
  // What is left of `patience` for that slot; zero or less if it is over.
  absl::Duration Left(absl::Duration patience) const {
    return patience - absl::FromChrono(Wait::Clock::now() - since_);
  }

 private:
  uint64_t sequence_ = UINT64_MAX;
  Wait::Clock::time_point since_;
};

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_CHANNEL_PATIENCE_H_
