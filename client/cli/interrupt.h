// Ctrl-C and SIGTERM, as a question that loops ask: so that a channel is closed and its files removed on the
// way out.
#pragma once

#include "absl/time/time.h"

namespace pylabhub::cli {

// The longest that a loop may go without asking Interrupted().
inline constexpr absl::Duration kInterruptSlice = absl::Milliseconds(100);

// From now on SIGINT and SIGTERM only make Interrupted() true (and end a blocking read with EINTR), and a
// write to a closed pipe is an error rather than the end of the process. Call once, by a verb that has something to undo.
void WatchForInterrupts();

// Thread safety: any thread.
bool Interrupted();

// Waits so long; false, at once, when interrupted.
bool Pause(absl::Duration duration);

// Since some moment, for measuring: never goes back, and knows no summer time.
absl::Duration MonotonicClock();

}  // namespace pylabhub::cli
