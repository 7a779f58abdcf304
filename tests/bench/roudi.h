// iceoryx's daemon, started and stopped by the benches.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <utility>

#include "absl/status/statusor.h"

namespace pylabhub::bench {

// A running RouDi. It dies with this process at the latest.
//
// Ownership: stops the daemon in the destructor; it removes its own files then.
class Roudi {
 public:
  // Starts iox-roudi with one pool of `chunks` chunks for payloads of `payload_bytes`, and waits until it is
  // ready. With `monitoring` it finds out which processes died; without, its keep-alive messages do not wake anybody in
  // the middle of a measurement.
  //
  // Errors: kNotFound when iox-roudi is not installed; kUnavailable when it does not start, for instance
  // because another RouDi runs on this machine, with what it printed.
  static absl::StatusOr<Roudi> Start(uint64_t payload_bytes, uint64_t chunks, bool monitoring);

  Roudi(Roudi&& other) noexcept
      : pid_(std::exchange(other.pid_, -1)), output_(std::exchange(other.output_, -1)) {}
  Roudi& operator=(Roudi&&) = delete;
  ~Roudi();

 private:
  Roudi(pid_t pid, int output) : pid_(pid), output_(output) {}

  absl::Status WaitUntilReady();

  pid_t pid_;
  int output_;  // the end of a pipe that holds what the daemon prints
};

}  // namespace pylabhub::bench
