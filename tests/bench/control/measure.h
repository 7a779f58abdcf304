// The benches of single calls, each measuring one round of one subject.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "tests/bench/control/broker_subject.h"
#include "tests/bench/control/recorder.h"
#include "tests/bench/control/round_settings.h"
#include "tests/bench/control/subject.h"

namespace pylabhub::bench {

// One lookup after another: `discover.cold`, `.p99`, and `.cpu`, what the server spends on one.
absl::Status MeasureLookups(DirectorySubject& subject, const RoundSettings& settings, Recorder& recorder);

// 64 names at a time: `discover.batch64`, in names a second.
absl::Status MeasureBatches(DirectorySubject& subject, const RoundSettings& settings, Recorder& recorder);

// A lookup of each subject after each of `calls` gaps of 1 to 2 s: `discover.idle.max`, the longest.
absl::Status MeasureIdle(const std::vector<DirectorySubject*>& subjects, int calls,
                         const RoundSettings& settings, Recorder& recorder);

// One write after another: `register.durable`.
absl::Status MeasureWrites(DirectorySubject& subject, const RoundSettings& settings, Recorder& recorder);

// Writes from 64 threads: `register.durable64`, in writes a second. Of a subject that cannot write, lookups: what so many
// calls at once take by themselves.
absl::Status MeasureWritesAtOnce(DirectorySubject& subject, const RoundSettings& settings,
                                 Recorder& recorder);

// What the machine takes to append 200 bytes to a file in `folder` and make them durable: `register.durable` of `fdatasync`.
absl::Status MeasureSync(const std::string& folder, const RoundSettings& settings, Recorder& recorder);

// 10,000 sessions a second, 1000 in a call: `heartbeat.10k`, in processor cores that the broker uses.
absl::Status MeasureHeartbeats(BrokerSubject& subject, const RoundSettings& settings, Recorder& recorder);

}  // namespace pylabhub::bench
