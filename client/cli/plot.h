// `pylabhub plot`: a number of a channel, live, as a curve.
#pragma once

#include "client/cli/arguments.h"

namespace pylabhub::cli {

void AddPlot(CLI::App& app, Action& chosen);

}  // namespace pylabhub::cli
