// The command line of a benchmark binary.
#pragma once

#include <vector>

#include "tests/bench/subject.h"

namespace pylabhub::bench {

// Parses the flags (see --help), runs `subjects`, prints; returns the exit code: 0 when every trial
// succeeded and, with --check, every target was reached.
//
// Leaves nothing behind: /dev/shm and /tmp are private to this process and its children where the kernel
// allows it (it says so where not), and every child dies with this process.
int BenchMain(int argc, char** argv, const std::vector<Subject>& subjects);

}  // namespace pylabhub::bench
