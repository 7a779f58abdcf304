// --broker and --certs: the broker that a verb works with, if any.
//
// With none, channels are found by name on this host. What happens to the connection later goes to standard error.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "client/cli/arguments.h"
#include "client/messenger.h"

namespace pylabhub::cli {

struct BrokerOption {
  std::string address;
  std::string certificates_folder;
};

// --broker HOST:PORT (or PYLABHUB_BROKER), --certs DIR (or PYLABHUB_CERTS).
void AddBroker(CLI::App& app, BrokerOption& option);

// A verb's link to the broker; to none if no address was given.
//
// Thread safety: thread-compatible.
class BrokerLink {
 public:
  // Errors: those of Messenger::Connect; kInvalidArgument if there is an address but no folder of certificates.
  static absl::StatusOr<BrokerLink> Connect(const BrokerOption& option);

  // Null without a broker.
  Messenger* messenger() const { return messenger_.get(); }

  // True once something that was registered is another's: a producer should stop.
  bool RegistrationLost() const { return registration_lost_->load(std::memory_order_relaxed); }

 private:
  BrokerLink() : registration_lost_(std::make_shared<std::atomic<bool>>(false)) {}

  // The Messenger's hook writes it, from a thread of its own. Relaxed suffices: it guards no other memory.
  std::shared_ptr<std::atomic<bool>> registration_lost_;
  std::unique_ptr<Messenger> messenger_;
};

}  // namespace pylabhub::cli
