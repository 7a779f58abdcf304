// `pylabhub policy`: says whether a broker's policy file is good, and why it allows or denies something.
#pragma once

#include "client/cli/arguments.h"

namespace pylabhub::cli {

void AddPolicy(CLI::App& app, Action& chosen);

}  // namespace pylabhub::cli
