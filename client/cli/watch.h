// `pylabhub watch`: what happens to channels, as the broker tells it.
#pragma once

#include "client/cli/arguments.h"

namespace pylabhub::cli {

void AddWatch(CLI::App& app, Action& chosen);

}  // namespace pylabhub::cli
