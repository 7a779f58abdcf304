// What a producer has done so far. All counted by the producer, in the segment, where any tool can read them.
//
// Thread safety: value types; thread-compatible.
#ifndef PYLABHUB_SHM_PRODUCER_STATS_H_
#define PYLABHUB_SHM_PRODUCER_STATS_H_

#include <cstdint>

#include "absl/time/time.h"

namespace pylabhub::shm {

struct ProducerProgress;

struct ProducerStats {
  uint64_t committed_slots = 0;
  uint64_t committed_bytes = 0;
  uint64_t aborted_slots = 0;
  uint64_t waits = 0;                // Acquires that found no free slot
  absl::Duration blocked;            // time spent in those
  uint64_t wakes = 0;                // system calls made to wake sleeping consumers
  uint64_t evicted_consumers = 0;    // found dead while they held a slot back
  uint64_t dropped_backlogs = 0;     // consumers that were too slow, and whose backlog was not waited for
  uint64_t cut_off_consumers = 0;    // consumers that were too slow, and are not waited for any more
  uint64_t invalid_peer_values = 0;  // cursors and pins that no correct consumer writes
};

// As the segment says them now. Thread-safe.
ProducerStats StatsOf(const ProducerProgress& progress);

// Of two segments together.
ProducerStats SumOf(const ProducerStats& a, const ProducerStats& b);

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_PRODUCER_STATS_H_
