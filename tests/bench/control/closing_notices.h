// closing.notice: how soon a consumer hears that the producer of its channel is gone.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "tests/bench/control/broker_client.h"
#include "tests/bench/control/broker_process.h"
#include "tests/bench/control/recorder.h"
#include "tests/bench/control/round_settings.h"

namespace pylabhub::bench {

// Thread safety: thread-compatible.
class ClosingNotices {
 public:
  // Starts a broker of its own, with short leases.
  explicit ClosingNotices(BrokerProcess::Options options);
  ~ClosingNotices();

  // Eight producers send their last heartbeat; a Messenger consumes their channels. The longest time from a lease's end to the
  // Messenger's on_event. The lease is counted from when the heartbeat was sent, which is before the broker counts it from: so
  // the figure is the longest that it can be.
  absl::Status Measure(const RoundSettings& settings, Recorder& recorder);

 private:
  BrokerProcess broker_;
  BrokerClient producers_;
};

}  // namespace pylabhub::bench
