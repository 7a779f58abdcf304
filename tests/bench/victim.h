// A process that is killed in the middle of what it does, at a random moment.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>

#include "absl/status/status.h"

namespace pylabhub::bench {

class Victim {
 public:
  // Forks a process that runs `body`, and exits if that should return. It dies with its parent.
  explicit Victim(const std::function<void()>& body);
  Victim(const Victim&) = delete;
  Victim& operator=(const Victim&) = delete;
  ~Victim();

  // Sends SIGKILL and reaps. Returns when the signal was sent, in ticks.
  uint64_t Kill();

 private:
  pid_t pid_;
};

// Sleeps until `ready` says yes. Errors: kDeadlineExceeded after `patience_seconds`, with `what` did not come.
absl::Status NapUntil(double patience_seconds, const char* what, const std::function<bool()>& ready);

// Sleeps for some milliseconds, a different time at each call, so that kills fall anywhere between two looks of whoever
// looks at regular intervals.
void NapForARandomTime();

}  // namespace pylabhub::bench
