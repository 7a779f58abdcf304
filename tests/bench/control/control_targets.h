// What the broker must reach in the control suite.
#pragma once

#include <ostream>
#include <vector>

#include "tests/bench/report.h"

namespace pylabhub::bench {

// Bounds that two figures make together are figures too, of subject `bound`: a verdict compares two.
void AddBounds(std::vector<Figure>& figures);

// Prints a line for each target whose figures are there; returns how many were missed. `quiet`: the machine had nothing else to do.
int PrintControlVerdicts(const std::vector<Figure>& figures, bool quiet, std::ostream& out);

}  // namespace pylabhub::bench
