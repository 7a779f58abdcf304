// `pylabhub completion`: what a shell completes.
#pragma once

#include "client/cli/arguments.h"

namespace pylabhub::cli {

void AddCompletion(CLI::App& app, Action& chosen);

}  // namespace pylabhub::cli
