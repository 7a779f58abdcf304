// What a Messenger tells its application without being asked.
#ifndef PYLABHUB_CLIENT_MESSENGER_EVENT_H_
#define PYLABHUB_CLIENT_MESSENGER_EVENT_H_

#include <cstddef>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "client/broker_types.h"

namespace pylabhub {

enum class MessengerEventKind {
  // A channel that a consumer of this Messenger is registered for is closing: its producer gave it up, its lease
  // ended, another one takes its place, or an administrator closed it. Told within milliseconds where the broker
  // watches, else after the next heartbeat. A data block that is attached stays good: it says itself when its producer is gone. The
  // consumer's lease is kept for when the channel comes back.
  kChannelClosing,
  // The same channel is ready again, perhaps from another producer with a new segment.
  kChannelBack,
  // A channel or consumer that this Messenger registered is no longer its own, and will not be registered
  // again: another producer took it (`status` says FENCED in words, or CHANNEL_HELD), an administrator
  // closed it, this process lost the right to it (PERMISSION_DENIED), or the broker refused it after a restart. A producer should stop.
  kRegistrationLost,
  // A broker that had forgotten a channel or consumer (it was restarted, or out of reach for longer than
  // the lease) knows it again.
  kRegistrationRestored,
  // Heartbeats fail; everything that is attached goes on. Told once, until kBrokerBack.
  kBrokerUnreachable,
  kBrokerBack,
};

inline constexpr size_t kMessengerEventKinds = 6;

// "channel closing" for kChannelClosing and so on.
absl::string_view NameOf(MessengerEventKind kind);

struct MessengerEvent {
  MessengerEventKind kind;
  std::string channel = {};      // empty for the two of the broker
  std::string consumer_id = {};  // of the registration that is meant, if it is a consumer's and has one
  absl::Status status = absl::OkStatus();  // why, for the kinds that have a why
  CloseReason close_reason =
      CloseReason::kUnknown;  // kChannelClosing: the same for a program, as far as it is known
};

using MessengerEventHook = std::function<void(const MessengerEvent&)>;

// A line for the application's log. Called from any of the Messenger's threads, with no lock held; must be
// quick.
using LogHook = std::function<void(absl::string_view line)>;

}  // namespace pylabhub

#endif  // PYLABHUB_CLIENT_MESSENGER_EVENT_H_
