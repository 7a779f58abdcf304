// There and back: how long a message takes to the other process and an answer back.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tests/bench/bench.h"
#include "tests/bench/clock.h"
#include "tests/bench/trial.h"

namespace pylabhub::bench {

// Times round trips, one time stamp each, and keeps every one of them, so that percentiles are exact.
//
// Every bench that reports a round trip uses this class, so its own cost (a time stamp and a store) is in all
// alike.
class TripTimer {
 public:
  explicit TripTimer(double seconds)
      : start_ticks_(NowTicks() + TicksOf(seconds / 10)),
        end_ticks_(start_ticks_ + TicksOf(seconds)),
        deadline_ticks_(end_ticks_ + TicksOf(kPatienceSeconds)),
        // Written once, so that no first touch of a page falls into a trip. Full after trips of 50 ns.
        trips_ticks_(static_cast<size_t>(seconds * 1e9 / 50) + 1, 1),
        last_ticks_(NowTicks()) {}

  // When to give up waiting for the peer.
  uint64_t deadline_ticks() const { return deadline_ticks_; }

  // Ends one trip and starts the next; false when the time is up, but not before a trip was counted.
  bool Lap() {
    const uint64_t now_ticks = NowTicks();
    if (now_ticks >= start_ticks_) {
      trips_ticks_[count_++] = static_cast<uint32_t>(std::min<uint64_t>(now_ticks - last_ticks_, UINT32_MAX));
    }
    last_ticks_ = now_ticks;
    return count_ == 0 || (now_ticks < end_ticks_ && count_ < trips_ticks_.size());
  }

  Sample Percentiles() {
    trips_ticks_.resize(count_);
    std::sort(trips_ticks_.begin(), trips_ticks_.end());
    return {.value = trips_ticks_[count_ / 2] * NsPerTick(),
            .tail = trips_ticks_[static_cast<size_t>(static_cast<double>(count_) * 0.999)] * NsPerTick()};
  }

 private:
  uint64_t start_ticks_;
  uint64_t end_ticks_;
  uint64_t deadline_ticks_;
  std::vector<uint32_t> trips_ticks_;
  size_t count_ = 0;
  uint64_t last_ticks_;
};

}  // namespace pylabhub::bench
