// The limit for a stream: memcpy in one process, block after block of the message's size.
#pragma once

#include "absl/status/statusor.h"
#include "tests/bench/bench.h"
#include "tests/bench/trial.h"

namespace pylabhub::bench {

// Blocks a second. Blocks of up to 64 KiB walk over 512 KiB at either end, which an L2 cache holds; larger
// ones over 64 MiB at either end, which it does not.
absl::StatusOr<Sample> MeasureMemcpy(const Bench& bench, const TrialSettings& settings);

}  // namespace pylabhub::bench
