// `pylabhub bench`: how fast this machine is, between two processes.
#pragma once

#include "client/cli/arguments.h"

namespace pylabhub::cli {

void AddBench(CLI::App& app, Action& chosen);

}  // namespace pylabhub::cli
