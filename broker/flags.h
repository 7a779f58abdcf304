// The command line of pylabhub-broker.
#ifndef PYLABHUB_BROKER_FLAGS_H_
#define PYLABHUB_BROKER_FLAGS_H_

#include <string>
#include <variant>
#include <vector>

#include "absl/time/time.h"
#include "broker/log.h"

namespace pylabhub::broker {

struct Flags {
  std::string address = "127.0.0.1";
  int port = 5570;
  std::string port_file = {};
  std::string state_dir = {};
  std::string store = "sqlite";  // or "none"
  std::string server_cert = {};
  std::string server_key = {};
  std::string ca = {};
  std::vector<std::string> server_names = {};
  std::vector<std::string> admins = {};
  absl::Duration lease_ttl = absl::Seconds(10);
  absl::Duration shutdown_grace = absl::Seconds(5);
  int max_threads = 256;
  LogLevel log_level = LogLevel::kInfo;
  LogFormat log_format = LogFormat::kLogfmt;
};

// The process is to end at once with this code: --help was answered, or a flag is wrong. What there is to say
// was said.
struct ExitCode {
  int value;
};

// Where the broker keeps its state if no flag says so.
std::string DefaultStateDir();

std::variant<Flags, ExitCode> ParseFlags(int argc, char** argv);

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_FLAGS_H_
