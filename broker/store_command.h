// What pylabhub-broker does instead of serving: it backs a store up, restores it, checks it.
#ifndef PYLABHUB_BROKER_STORE_COMMAND_H_
#define PYLABHUB_BROKER_STORE_COMMAND_H_

#include <optional>

namespace pylabhub::broker {

// Carries out a command line that begins with backup, restore or store, and returns the exit code: 0 done, 1 failed or
// damaged, 2 wrong arguments. Nothing if it begins otherwise.
std::optional<int> RunStoreCommand(int argc, char** argv);

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_STORE_COMMAND_H_
