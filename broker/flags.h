// The command line of pylabhub-broker, and the configuration file that it names.
#ifndef PYLABHUB_BROKER_FLAGS_H_
#define PYLABHUB_BROKER_FLAGS_H_

#include <string>
#include <variant>

#include "broker/settings.h"

namespace pylabhub::broker {

// The process is to end at once with this code: --help or --check-config was answered, or a flag or the configuration
// file is wrong. What there is to say was said.
struct ExitCode {
  int value;
};

// Where the broker keeps its state if nothing says so.
std::string DefaultStateDir();

// What a flag says goes before what the file says, and that before the defaults.
std::variant<Settings, ExitCode> ParseFlags(int argc, char** argv);

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_FLAGS_H_
