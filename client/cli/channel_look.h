// What can be known of a channel from here, by looking only: what its segment counts, where its memory has a name on this
// host, and its entry with the broker, where there is one.
//
// Looking disturbs nobody: memory is mapped read-only, no lock is taken, and no consumer is registered.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/broker_types.h"
#include "client/messenger.h"
#include "shm/metrics.h"

namespace pylabhub::cli {

struct ChannelLook {
  std::string channel = {};
  std::optional<Channel> entry = std::nullopt;  // the broker's
  absl::Status memory = {};                     // OK, or why `metrics` cannot be read
  shm::ChannelMetrics metrics = {};
};

// kNotFound if there is no such channel; without a broker also why its memory cannot be read.
absl::StatusOr<ChannelLook> LookAt(const std::string& channel, const std::string& directory,
                                   Messenger* messenger);

// Every channel that the broker knows or, without one, that has a name in `directory`; in the order of names.
absl::StatusOr<std::vector<ChannelLook>> LookAtAll(const std::string& directory, Messenger* messenger);

// "pending", "ready", "closing".
const char* NameOf(ChannelState state);

}  // namespace pylabhub::cli
