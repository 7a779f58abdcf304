// `pylabhub describe`: everything that is known of one channel.
#pragma once

#include "client/cli/arguments.h"

namespace pylabhub::cli {

void AddDescribe(CLI::App& app, Action& chosen);

}  // namespace pylabhub::cli
