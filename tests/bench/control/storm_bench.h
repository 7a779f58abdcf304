// storm.1000: a thousand clients of a broker that was killed and is there again.
#pragma once

#include "absl/status/status.h"
#include "tests/bench/control/broker_process.h"
#include "tests/bench/control/recorder.h"

namespace pylabhub::bench {

// A thousand Messengers, each with a channel that it produces and watches as its consumer, of a broker of its own, which is killed
// (SIGKILL) and started again: from when it listens until the last Messenger's Watch stream has told it that it is up to date
// again. Beside it, of subject `handshakes`, a thousand connections made from sixteen threads, by which time each has had a call
// answered. `storm.1000.lost`: channels that had to be registered anew, since the broker had forgotten their sessions.
absl::Status MeasureStorm(BrokerProcess::Options options, Recorder& recorder);

}  // namespace pylabhub::bench
