// `pylabhub schema`: what the broker's schema registry has, and what differs from it.
#pragma once

#include "client/cli/arguments.h"

namespace pylabhub::cli {

void AddSchema(CLI::App& app, Action& chosen);

}  // namespace pylabhub::cli
