// What a Messenger has done so far, for dashboards and for tests.
#ifndef PYLABHUB_CLIENT_MESSENGER_METRICS_H_
#define PYLABHUB_CLIENT_MESSENGER_METRICS_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

#include "absl/time/time.h"
#include "client/messenger_event.h"

namespace pylabhub {

// How calls of one method ended. A call that was tried again meanwhile counts once.
struct CallMetrics {
  uint64_t ok = 0;
  uint64_t refused = 0;      // the broker said no, with a reason
  uint64_t unreachable = 0;  // the connection failed
  uint64_t timed_out = 0;
  uint64_t cancelled = 0;  // at the Messenger's end
  uint64_t failed = 0;     // in any other way
  absl::Duration total_time = absl::ZeroDuration();
  absl::Duration longest_time = absl::ZeroDuration();
};

struct MessengerMetrics {
  // By method of the wire API: "Register", ... Those that were never called are there too.
  std::map<std::string, CallMetrics> calls = {};
  std::map<MessengerEventKind, uint64_t> events = {};

  // Times that heartbeats failed after the broker had been reached, and that it was reached again.
  uint64_t broker_losses = 0;
  uint64_t reconnections = 0;
  // What was left of the lease when a heartbeat was answered, counted from when the one before was sent: of the last one, and
  // the least ever. Negative: it had ended. Infinite before the second heartbeat.
  absl::Duration last_lease_slack = absl::InfiniteDuration();
  absl::Duration min_lease_slack = absl::InfiniteDuration();

  // DiscoverProducer calls that were answered from memory, at once; and those for which the broker was asked.
  uint64_t directory_hits = 0;
  uint64_t directory_misses = 0;
  uint64_t watch_streams = 0;    // begun
  uint64_t watch_snapshots = 0;  // of which with a snapshot; the others resumed
  uint64_t watch_events = 0;
  bool directory_is_fresh = false;
  size_t directory_channels = 0;
  uint64_t directory_revision = 0;
};

}  // namespace pylabhub

#endif  // PYLABHUB_CLIENT_MESSENGER_METRICS_H_
