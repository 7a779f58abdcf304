// Runs subjects through benches, one after another in rounds, and reports.
#pragma once

#include <ostream>
#include <string>
#include <vector>

#include "tests/bench/subject.h"
#include "tests/bench/trial.h"

namespace pylabhub::bench {

struct RunOptions {
  // A POSIX extended regular expression; runs the benches in whose name it is found.
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

// In each round of each bench measures every subject once, in order, so that all see the same mood of the
// host. A failed trial is one line in `errors`; the other subjects go on. Returns how many trials failed.
//
// Errors: kInvalidArgument when `only` is no regular expression, or selects no bench.
absl::StatusOr<int> RunBenches(const RunOptions& options, const std::vector<Subject>& subjects,
                               const Outputs& outputs);

}  // namespace pylabhub::bench
