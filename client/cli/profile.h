// Where a verb's settings come from: flags beat the environment, which beats a profile; and `pylabhub profile`, which shows
// profiles.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "client/cli/arguments.h"

namespace pylabhub::cli {

// $XDG_CONFIG_HOME/pylabhub/profiles, by default ~/.config/pylabhub/profiles.
std::string ProfilesPath();

// Adds --profile (or PYLABHUB_PROFILE) to every verb below `app` that has a setting which profiles may have.
void AddProfileOption(CLI::App& app);

// Gives the verb that was parsed what its profile says and neither a flag nor the environment does. Without a --profile the
// profile `default`, if there is one. Errors: the file cannot be read or has a mistake; there is no such profile; a setting
// has no good value.
absl::Status ApplyProfile(CLI::App& app);

void AddProfile(CLI::App& app, Action& chosen);

}  // namespace pylabhub::cli
