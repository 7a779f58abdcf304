// Runs subjects through benches, one after another in rounds, and reports.
#pragma once

#include <ostream>
#include <regex>
#include <vector>

#include "tests/bench/subject.h"
#include "tests/bench/trial.h"

namespace pylabhub::bench {

struct RunOptions {
  // Runs the benches of which this finds a part of the name.
  std::regex only;
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
// Errors: kInvalidArgument when `only` selects no bench.
absl::StatusOr<int> RunBenches(const RunOptions& options, const std::vector<Subject>& subjects,
                               const Outputs& outputs);

}  // namespace pylabhub::bench
