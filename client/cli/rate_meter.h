// How much came in each interval, for one who reads slots.
//
// Pure: told the time, by a monotonic clock.
//
// Thread safety: thread-compatible.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/time/time.h"

namespace pylabhub::cli {

struct IntakeRate {
  absl::Duration interval = {};  // as it was, not as it was wanted
  uint64_t slots = 0;
  uint64_t payload_bytes = 0;
  uint64_t missed_slots = 0;
  double slots_per_second = 0;
  double bytes_per_second = 0;
  double missed_slots_per_second = 0;
};

class RateMeter {
 public:
  RateMeter(absl::Duration interval, absl::Duration now) : interval_(interval), begin_(now) {}

  void Add(uint64_t payload_bytes, uint64_t missed_slots);

  // How long until an interval ends; zero if it has.
  absl::Duration Left(absl::Duration now) const;

  // What came, if the interval has ended; then another one begins.
  std::optional<IntakeRate> Take(absl::Duration now);

 private:
  absl::Duration interval_;
  absl::Duration begin_;
  IntakeRate taken_;
};

}  // namespace pylabhub::cli
