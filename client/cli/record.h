// `pylabhub record`: channels into an HDF5 file.
#pragma once

#include "client/cli/arguments.h"

namespace pylabhub::cli {

void AddRecord(CLI::App& app, Action& chosen);

}  // namespace pylabhub::cli
