// fairness: what a client that calls as fast as it can costs another one.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "tests/bench/control/broker_client.h"
#include "tests/bench/control/broker_process.h"
#include "tests/bench/control/recorder.h"
#include "tests/bench/control/round_settings.h"

namespace pylabhub::bench {

// Two brokers, as shipped and with a limit of 500 calls a second for each identity, and on each a modest client, which calls one
// time after another with a pause, and a greedy one with another identity and eight threads. The greedy one's threads run at the
// lowest priority, as they would be on another machine: what is measured is what the broker does for it.
//
// Thread safety: thread-compatible.
class GreedyNeighbour {
 public:
  // Issues the greedy client's certificate into the folder. A failure ends the program.
  explicit GreedyNeighbour(const BrokerProcess::Options& options);

  // The median of the modest client's lookups, of subject `alone`, and of `pylabhub` beside the greedy one: `fairness`, and
  // `fairness.limited` where the greedy one is held to the limit.
  absl::Status Measure(const RoundSettings& settings, Recorder& recorder);

 private:
  absl::Status MeasureOn(const BrokerProcess& broker, const std::string& bench, const RoundSettings& settings,
                         Recorder& recorder);

  BrokerProcess shipped_;
  BrokerProcess limited_;
};

}  // namespace pylabhub::bench
