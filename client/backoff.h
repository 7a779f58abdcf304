// How long to wait before trying again: twice as long each time, up to a limit, less a random part of up to
// half, so that the clients of a broker that was away do not all come back in one moment.
//
// Thread safety: thread-compatible.
#ifndef PYLABHUB_CLIENT_BACKOFF_H_
#define PYLABHUB_CLIENT_BACKOFF_H_

#include <algorithm>
#include <random>

#include "absl/time/time.h"

namespace pylabhub {

class Backoff {
 public:
  Backoff(absl::Duration first, absl::Duration limit) : first_(first), limit_(limit), next_(first) {}

  // The next wait: in (d / 2, d], d being `first`, then 2, 4, ... times that, at most `limit`.
  absl::Duration Next() {
    const absl::Duration whole = std::min(next_, limit_);
    next_ = whole * 2;
    return whole * (1.0 - 0.5 * std::uniform_real_distribution<double>()(random_));
  }

  // After a success: starts again with `first`.
  void Reset() { next_ = first_; }

 private:
  absl::Duration first_;
  absl::Duration limit_;
  absl::Duration next_;
  std::minstd_rand random_{std::random_device{}()};
};

}  // namespace pylabhub

#endif  // PYLABHUB_CLIENT_BACKOFF_H_
