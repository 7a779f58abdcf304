// `pylabhub stats`: what channels count, and how fast.
#pragma once

#include "client/cli/arguments.h"

namespace pylabhub::cli {

void AddStats(CLI::App& app, Action& chosen);

}  // namespace pylabhub::cli
