// Messenger::Local: the only part of the Messenger that knows shared memory.
#include <memory>
#include <string>
#include <utility>

#include "client/local_connection.h"
#include "client/messenger.h"

namespace pylabhub {

absl::StatusOr<std::unique_ptr<Messenger>> Messenger::Local(MessengerOptions options, std::string directory) {
  options.watch = WatchScope::Nothing();
  return Create(NewLocalConnection(std::move(directory)), std::move(options));
}

}  // namespace pylabhub
