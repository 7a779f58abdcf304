// `pylabhub certs show`: what certificates say, and what is wrong with them.
#pragma once

#include "client/cli/arguments.h"

namespace pylabhub::cli {

void AddCertsShow(CLI::App& certs, Action& chosen);

}  // namespace pylabhub::cli
