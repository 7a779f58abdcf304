// `pylabhub top`: the channels and their rates, live.
#pragma once

#include "client/cli/arguments.h"

namespace pylabhub::cli {

void AddTop(CLI::App& app, Action& chosen);

}  // namespace pylabhub::cli
