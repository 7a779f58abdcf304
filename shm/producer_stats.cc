#include "shm/producer_stats.h"

#include <atomic>

#include "shm/segment/layout.h"

namespace pylabhub::shm {

ProducerStats StatsOf(const ProducerProgress& progress) {
  const auto read = [](const std::atomic<uint64_t>& counter) {
    return counter.load(std::memory_order_relaxed);
  };
  return {.committed_slots = read(progress.head),
          .committed_bytes = read(progress.committed_bytes),
          .aborted_slots = read(progress.aborted_slots),
          .waits = read(progress.waits),
          .blocked = absl::Nanoseconds(read(progress.blocked_ns)),
          .wakes = read(progress.wakes),
          .evicted_consumers = read(progress.evicted_consumers),
          .dropped_backlogs = read(progress.dropped_backlogs),
          .cut_off_consumers = read(progress.cut_off_consumers),
          .invalid_peer_values = read(progress.invalid_peer_values)};
}

ProducerStats SumOf(const ProducerStats& a, const ProducerStats& b) {
  return {.committed_slots = a.committed_slots + b.committed_slots,
          .committed_bytes = a.committed_bytes + b.committed_bytes,
          .aborted_slots = a.aborted_slots + b.aborted_slots,
          .waits = a.waits + b.waits,
          .blocked = a.blocked + b.blocked,
          .wakes = a.wakes + b.wakes,
          .evicted_consumers = a.evicted_consumers + b.evicted_consumers,
          .dropped_backlogs = a.dropped_backlogs + b.dropped_backlogs,
          .cut_off_consumers = a.cut_off_consumers + b.cut_off_consumers,
          .invalid_peer_values = a.invalid_peer_values + b.invalid_peer_values};
}

}  // namespace pylabhub::shm
