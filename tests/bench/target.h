// What pylabhub must reach, and whether it did.
#pragma once

#include <ostream>
#include <string>
#include <vector>

#include "tests/bench/report.h"

namespace pylabhub::bench {

// A bound on one figure of pylabhub: so many times another figure of the same rounds, or an absolute time.
struct Target {
  std::string figure;  // its name, as Figure::bench has it
  enum Bound { kAtMost, kAtLeast } bound = kAtMost;
  double factor = 1;              // of the other figure; in ns if there is none
  std::string than_subject = {};  // whose figure the other one is
  std::string than_figure = {};   // its name; empty: the same
  // Only a machine with nothing else to do can show it: where it was busy, a miss does not count.
  bool wants_quiet_machine = false;
};

// The targets of every suite.
const std::vector<Target>& AllTargets();

// For each target whose figures are among `figures`, prints a line like
//   rtt.64B.spin <= 1.10 x ring: 0.92 ok
// The ratio is the median of the rounds' own ratios. `quiet`: the machine had nothing else to do. Returns how many
// targets were missed.
int PrintVerdicts(const std::vector<Target>& targets, const std::vector<Figure>& figures, bool quiet,
                  std::ostream& out);

}  // namespace pylabhub::bench
