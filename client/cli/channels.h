// `pylabhub channels`: the channels that there are, and whether anybody is at their ends.
#pragma once

#include "client/cli/arguments.h"

namespace pylabhub::cli {

void AddChannels(CLI::App& app, Action& chosen);

}  // namespace pylabhub::cli
