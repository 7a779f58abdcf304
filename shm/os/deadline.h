// A moment by which something has to be over. Of the steady clock: whoever sets the host's clock makes no wait longer or
// shorter.
//
// Thread safety: a value type; thread-compatible.
#ifndef PYLABHUB_SHM_OS_DEADLINE_H_
#define PYLABHUB_SHM_OS_DEADLINE_H_

#include <algorithm>
#include <chrono>

#include "absl/time/time.h"

namespace pylabhub::shm {

class Deadline {
 public:
  // `timeout` from now; never, for InfiniteDuration.
  explicit Deadline(absl::Duration timeout) : end_(SinceBoot() + timeout) {}

  bool passed() const { return SinceBoot() >= end_; }
  // At least zero.
  absl::Duration left() const { return std::max(end_ - SinceBoot(), absl::ZeroDuration()); }

 private:
  static absl::Duration SinceBoot() {
    return absl::FromChrono(std::chrono::steady_clock::now().time_since_epoch());
  }

  absl::Duration end_;
};

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_OS_DEADLINE_H_
