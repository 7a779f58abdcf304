// `pylabhub certs`: certificates for a lab that has no authority of its own, made, issued, renewed and revoked.
#pragma once

#include "client/cli/arguments.h"

namespace pylabhub::cli {

void AddCerts(CLI::App& app, Action& chosen);

}  // namespace pylabhub::cli
