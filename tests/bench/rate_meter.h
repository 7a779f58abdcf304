// How many messages a second pass, after a tenth of the time to warm up.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tests/bench/bench.h"
#include "tests/bench/clock.h"
#include "tests/bench/trial.h"

namespace pylabhub::bench {

class RateMeter {
 public:
  // Begins now.
  explicit RateMeter(double seconds)
      : warm_ticks_(NowTicks() + TicksOf(seconds / 10)),
        end_ticks_(warm_ticks_ + TicksOf(seconds)),
        deadline_ticks_(end_ticks_ + TicksOf(seconds + kPatienceSeconds)) {}

  // When to give up waiting for the peer.
  uint64_t deadline_ticks() const { return deadline_ticks_; }

  // Tells the meter how many messages have passed so far; call it now and then. False when the time is up, but not
  // before it was told twice since the warm-up.
  bool Note(uint64_t messages) {
    const uint64_t now_ticks = NowTicks();
    if (is_warm()) return now_ticks < end_ticks_;
    if (now_ticks >= warm_ticks_) {
      first_ = messages;
      first_ticks_ = now_ticks;
    }
    return true;
  }
  bool is_warm() const { return first_ticks_ != 0; }

  // The rate from the end of the warm-up until now. Errors: kInternal if that has not come.
  absl::StatusOr<Sample> Rate(uint64_t messages) const {
    if (!is_warm()) return absl::InternalError("the messages ended before they were warm");
    const double elapsed_ns = static_cast<double>(NowTicks() - first_ticks_) * NsPerTick();
    return Sample{.value = static_cast<double>(messages - first_) / elapsed_ns * 1e9, .tail = 0};
  }

 private:
  uint64_t warm_ticks_;
  uint64_t end_ticks_;
  uint64_t deadline_ticks_;
  uint64_t first_ = 0;
  uint64_t first_ticks_ = 0;
};

}  // namespace pylabhub::bench
