// watch.1000: from a change to the last of a thousand who watch it.
#pragma once

#include "absl/status/status.h"
#include "tests/bench/control/recorder.h"
#include "tests/bench/control/round_settings.h"
#include "tests/bench/control/subject.h"

namespace pylabhub::bench {

// Ten streams on each of a hundred connections watch one name, from the round's beginning to its end: the median time from the
// call that changes the name to when the last stream has been told. Nothing of a subject that cannot be watched.
absl::Status MeasureWatching(DirectorySubject& subject, const RoundSettings& settings, Recorder& recorder);

}  // namespace pylabhub::bench
