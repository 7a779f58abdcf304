// The least that two processes can do: change a word in turn.
#pragma once

#include "absl/status/statusor.h"
#include "tests/bench/bench.h"
#include "tests/bench/trial.h"

namespace pylabhub::bench {

// A cache line there and back: both look at the word all the time.
absl::StatusOr<Sample> MeasureLineRoundTrip(const TrialSettings& settings);

// A wake there and back: both sleep in the kernel until the word changes. The word is followed by a wake each
// time, with no look at whether the other sleeps.
absl::StatusOr<Sample> MeasureFutexRoundTrip(const TrialSettings& settings);

}  // namespace pylabhub::bench
