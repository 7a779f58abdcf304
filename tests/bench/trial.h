// One trial: two processes, each pinned to a core of its own, one of which measures.
//
// Nothing outlives a trial. Both processes die with the caller, every wait has a deadline, and a process that
// hangs, crashes or reads a wrong message makes the trial an error.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tests/bench/bench.h"

namespace pylabhub::bench {

struct Cores {
  int measuring;
  int other;
};

// The first two cores that this process may use. Errors: kFailedPrecondition when there is only one.
absl::StatusOr<Cores> FirstTwoCores();

struct TrialSettings {
  Cores cores;
  // The time measured, after a tenth of it to warm up.
  double seconds;
};

// How long a side waits for a message from the other before it calls the trial off.
inline constexpr double kPatienceSeconds = 2;

// Where the two processes of a trial meet: neither starts before both have opened what they need.
// Lives in shared memory.
class StartLine {
 public:
  // Returns when both sides have called. Errors: kDeadlineExceeded when the other did not come in time.
  absl::Status Meet();

 private:
  std::atomic<uint32_t> arrived_{0};
};

using MeasuringSide = std::function<absl::StatusOr<Sample>(StartLine&)>;
using OtherSide = std::function<absl::Status(StartLine&)>;

// Forks, runs `measuring` on one core and `other` on the other, and returns what `measuring` returned.
//
// The caller must be single-threaded. Both functions run in a child, which ends with exit().
//
// Errors: the first failure of either side, saying which; kDeadlineExceeded when a side hangs.
absl::StatusOr<Sample> RunTrial(const TrialSettings& settings, const MeasuringSide& measuring,
                                const OtherSide& other);

// Makes this process, a child of `parent`, die when `parent` does, also when it did so already.
void DieWith(pid_t parent);

// For trials that need no second process: runs `measuring` in one child, under the same rules.
absl::StatusOr<Sample> RunAlone(const TrialSettings& settings,
                                const std::function<absl::StatusOr<Sample>()>& measuring);

}  // namespace pylabhub::bench
