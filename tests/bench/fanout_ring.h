// The bare ring for several readers, all of which, and the writer too, sleep when they have to wait. A class of its own,
// so that the ring for one reader stays as bare as it is.
#pragma once

#include "absl/status/statusor.h"
#include "tests/bench/bench.h"
#include "tests/bench/trial.h"

namespace pylabhub::bench {

absl::StatusOr<Sample> MeasureFanoutRing(const Bench& bench, const TrialSettings& settings);

}  // namespace pylabhub::bench
