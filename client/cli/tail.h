// `pylabhub tail`: what flows through a channel, decoded by the schema that the channel carries.
#pragma once

#include "client/cli/arguments.h"

namespace pylabhub::cli {

void AddTail(CLI::App& app, Action& chosen);

}  // namespace pylabhub::cli
