// `pylabhub publish`: a file or standard input into a channel, block by block, nothing lost.
#pragma once

#include "client/cli/arguments.h"

namespace pylabhub::cli {

void AddPublish(CLI::App& app, Action& chosen);

}  // namespace pylabhub::cli
