// discover.warm: lookups that a Messenger answers from memory, as applications call it.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "tests/bench/control/recorder.h"
#include "tests/bench/control/round_settings.h"

namespace pylabhub::bench {

// A Messenger that follows every channel of the broker at `target`, which has `settings.names` ready ones of NameOf: the median of
// its lookups. An error if one of them asked the broker.
absl::Status MeasureWarmLookups(const std::string& target, const std::string& certificates_folder,
                                const RoundSettings& settings, Recorder& recorder);

}  // namespace pylabhub::bench
