// pylabhub-broker, as it is shipped, in a process of its own that can be killed and started again.
#pragma once

#include <memory>
#include <string>

#include "tests/bench/control/server_process.h"

namespace pylabhub::bench {

// Thread safety: thread-compatible.
class BrokerProcess {
 public:
  struct Options {
    std::string program;
    std::string certificates_folder;
    std::string state_folder;  // made if it is not there
    // Nobody's lease ends while something else is measured.
    std::string lease_ttl = "1h";
    // What goes beyond the shipped limits, as the configuration file says it: "channels_per_identity: 100000".
    std::string limits = {};
    std::string log_level = "info";
  };

  // Starts it. A failure ends this program, here and in Start.
  explicit BrokerProcess(Options options);

  // SIGKILL.
  void Kill() { server_.reset(); }
  // Starts it on the port that it had; returns when it listens.
  void Start();

  const ServerProcess& server() const { return *server_; }
  // "ADDRESS:PORT", the same for good.
  const std::string& target() const { return target_; }
  const std::string& certificates_folder() const { return options_.certificates_folder; }

 private:
  const Options options_;
  std::string target_;
  std::unique_ptr<ServerProcess> server_;
};

}  // namespace pylabhub::bench
