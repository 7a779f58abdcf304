// memory.connection: what the broker keeps for a client that has connected and says nothing.
#pragma once

#include "absl/status/status.h"
#include "tests/bench/control/broker_process.h"
#include "tests/bench/control/recorder.h"

namespace pylabhub::bench {

// 500 connections with one call each, to a broker of its own: what its memory grew by for each.
absl::Status MeasureIdleConnections(const BrokerProcess::Options& options, Recorder& recorder);

}  // namespace pylabhub::bench
