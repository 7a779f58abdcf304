// What pylabhub-broker does instead of serving: it asks a broker that runs whether it serves, for a container's health check.
#ifndef PYLABHUB_BROKER_HEALTH_COMMAND_H_
#define PYLABHUB_BROKER_HEALTH_COMMAND_H_

#include <optional>

namespace pylabhub::broker {

// Carries out a command line that begins with health, and returns the exit code: 0 it serves, 1 it does not or cannot be
// asked (standard error says why), 2 wrong arguments. Nothing if it begins otherwise.
std::optional<int> RunHealthCommand(int argc, char** argv);

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_HEALTH_COMMAND_H_
