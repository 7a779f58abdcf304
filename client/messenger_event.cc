#include "client/messenger_event.h"

namespace pylabhub {

absl::string_view NameOf(MessengerEventKind kind) {
  switch (kind) {
    case MessengerEventKind::kChannelClosing:
      return "channel closing";
    case MessengerEventKind::kChannelBack:
      return "channel back";
    case MessengerEventKind::kRegistrationLost:
      return "registration lost";
    case MessengerEventKind::kRegistrationRestored:
      return "registration restored";
    case MessengerEventKind::kBrokerUnreachable:
      return "broker unreachable";
    case MessengerEventKind::kBrokerBack:
      return "broker back";
  }
  return "unknown event";
}

}  // namespace pylabhub
