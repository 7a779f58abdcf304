// A Messenger that Python objects share.
//
// Thread safety: thread-safe, as a Messenger is. The GIL is held in every call, and given up while the broker is asked.
#ifndef PYLABHUB_CLIENT_PYTHON_BROKER_LINK_H_
#define PYLABHUB_CLIENT_PYTHON_BROKER_LINK_H_

#include <pybind11/pybind11.h>

#include <memory>
#include <string>

#include "absl/time/time.h"
#include "client/messenger.h"

namespace pylabhub::python {

// Shared by its session and the handles that were made with it. A child of fork() has no broker: there it is left alone.
class BrokerLink {
 public:
  // Raises what Messenger::Connect answers. `on_event`, if not None, is called with what happens, on a thread of the
  // Messenger's.
  static std::shared_ptr<BrokerLink> Connect(ConnectOptions options, const pybind11::object& on_event);

  explicit BrokerLink(std::unique_ptr<Messenger> messenger);
  ~BrokerLink();
  BrokerLink(const BrokerLink&) = delete;
  BrokerLink& operator=(const BrokerLink&) = delete;

  // Raises ForkedHandle in a child of fork().
  Messenger& messenger() const;
  bool is_ours() const;

  Channel Discover(const std::string& channel, absl::Duration timeout, Consistency consistency) const;

 private:
  std::unique_ptr<Messenger> messenger_;
  const int64_t pid_;
};

}  // namespace pylabhub::python

#endif  // PYLABHUB_CLIENT_PYTHON_BROKER_LINK_H_
