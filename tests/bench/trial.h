// One trial: two or more processes, each pinned to a core, one of which measures.
//
// Nothing outlives a trial. All processes die with the caller, every wait has a deadline, and a process that
// hangs, crashes or reads a wrong message makes the trial an error.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

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

// Where the processes of a trial meet: none starts before all have opened what they need.
// Lives in shared memory.
class StartLine {
 public:
  explicit StartLine(uint32_t sides) : sides_(sides) {}

  // Returns when every side has called; the second time, when every side has called twice, and so on.
  // Errors: kDeadlineExceeded when one did not come in time.
  absl::Status Meet();

 private:
  const uint32_t sides_;
  std::atomic<uint32_t> arrived_{0};
};

// One process of a trial.
struct Side {
  std::string name;  // for errors
  int core;
  // Runs in a child, which ends with exit().
  std::function<absl::StatusOr<Sample>(StartLine&)> run;
};
inline constexpr size_t kMaxSides = 8;

// Forks a process for each of `sides`, and returns what each of them returned.
//
// The caller must be single-threaded.
//
// Errors: the failures of all sides that failed by themselves, saying which; kDeadlineExceeded when one hangs.
absl::StatusOr<std::vector<Sample>> RunSides(const TrialSettings& settings, const std::vector<Side>& sides);

// The same; returns what the first of them returned.
absl::StatusOr<Sample> RunTrial(const TrialSettings& settings, const std::vector<Side>& sides);

using MeasuringSide = std::function<absl::StatusOr<Sample>(StartLine&)>;
using OtherSide = std::function<absl::Status(StartLine&)>;

// A trial of two: `measuring` on one core, `other` on the other.
absl::StatusOr<Sample> RunTrial(const TrialSettings& settings, const MeasuringSide& measuring,
                                const OtherSide& other);

// For trials that need no second process: runs `measuring` in one child, under the same rules.
absl::StatusOr<Sample> RunAlone(const TrialSettings& settings,
                                const std::function<absl::StatusOr<Sample>()>& measuring);

}  // namespace pylabhub::bench
