// `pylabhub tls check`: why a connection to a broker does not come about.
#pragma once

#include "client/cli/arguments.h"

namespace pylabhub::cli {

void AddTls(CLI::App& app, Action& chosen);

}  // namespace pylabhub::cli
