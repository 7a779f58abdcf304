// Moves an input into a channel, slot by slot, and shows how far it has come.
#pragma once

#include "absl/time/time.h"
#include "client/channel.h"
#include "client/cli/broker_option.h"
#include "client/cli/exit_code.h"
#include "client/cli/payload_source.h"

namespace pylabhub::cli {

// Until the end of the input; or until every consumer has left that was waited for, no slot was free for `timeout`, another
// producer took the channel over, or Interrupted(): then what it could not send is told.
ExitCode SendAll(PayloadSource& source, ChannelProducer& channel, const BrokerLink& broker,
                 absl::Duration timeout);

}  // namespace pylabhub::cli
