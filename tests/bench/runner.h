// Runs subjects through benches, one after another in rounds, and reports.
#pragma once

#include <ostream>
#include <string>
#include <vector>

#include "tests/bench/subject.h"
#include "tests/bench/trial.h"

namespace pylabhub::bench {

struct RunOptions {
  // Of this suite, the benches in whose name `only`, a POSIX extended regular expression, is found.
  std::string suite = "data";
  std::string only;
  int rounds = 7;
  TrialSettings trial;
};

struct Outputs {
  // The table, for people.
  std::ostream& table;
  // JSON lines, one a figure. May be null.
  std::ostream* json;
  // What went wrong, one line each.
  std::ostream& errors;
};

struct RunResult {
  int failed_trials = 0;
  int missed_targets = 0;
};

// In each round of each bench, or family of benches, measures every subject once, in order, so that all see the same
// mood of the host. A failed trial is one line in `errors`; the other subjects go on. After each family's table comes
// what it has to reach, and whether it did.
//
// Errors: kInvalidArgument when `only` is no regular expression, or no bench is selected.
absl::StatusOr<RunResult> RunBenches(const RunOptions& options, const std::vector<Subject>& subjects,
                                     const Outputs& outputs);

}  // namespace pylabhub::bench
