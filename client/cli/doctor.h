// `pylabhub doctor`: what lies in shared memory, whether it is sound, and the removal of what nobody needs.
#pragma once

#include "client/cli/arguments.h"

namespace pylabhub::cli {

void AddDoctor(CLI::App& app, Action& chosen);

}  // namespace pylabhub::cli
