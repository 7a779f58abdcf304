// The clock of the client's deadlines and periods. A step of the host's clock must cost no lease, and must make no wait
// longer or shorter.
#ifndef PYLABHUB_CLIENT_STEADY_NOW_H_
#define PYLABHUB_CLIENT_STEADY_NOW_H_

#include <chrono>

#include "absl/time/time.h"

namespace pylabhub {

// absl::Time serves as its type; its origin means nothing. Thread-safe.
inline absl::Time SteadyNow() {
  return absl::UnixEpoch() + absl::FromChrono(std::chrono::steady_clock::now().time_since_epoch());
}

}  // namespace pylabhub

#endif  // PYLABHUB_CLIENT_STEADY_NOW_H_
