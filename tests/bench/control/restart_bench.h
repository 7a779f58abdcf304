// restart.100k: how soon a broker that was killed answers again, with a hundred thousand channels.
#pragma once

#include "absl/status/status.h"
#include "tests/bench/control/broker_process.h"
#include "tests/bench/control/recorder.h"

namespace pylabhub::bench {

// Fills a broker of its own over the wire, ten channels a session, and three times kills it (SIGKILL) and starts it again: from the
// start of the process to a new client's first answer. An error if a thousand of the channels, looked at afterwards, are not all
// there and ready. The files' pages are in the machine's memory.
absl::Status MeasureRestart(BrokerProcess::Options options, Recorder& recorder);

}  // namespace pylabhub::bench
