// `pylabhub replay`: a recording into channels again, or what is in it.
#pragma once

#include "client/cli/arguments.h"

namespace pylabhub::cli {

void AddReplay(CLI::App& app, Action& chosen);

}  // namespace pylabhub::cli
