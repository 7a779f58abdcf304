#include "client/cli/rates.h"

#include <algorithm>

namespace pylabhub::cli {
namespace {

using shm::ChannelMetrics;
using shm::ConsumerMetrics;

double PerSecond(uint64_t before, uint64_t after, absl::Duration interval) {
  if (interval <= absl::ZeroDuration()) return 0;
  const uint64_t grown = after >= before ? after - before : after;
  return static_cast<double>(grown) / absl::ToDoubleSeconds(interval);
}

// The same consumer at the first look; one that counts from zero if it was not there.
ConsumerMetrics Earlier(const ChannelMetrics& before, const ConsumerMetrics& consumer) {
  const auto same = [&](const ConsumerMetrics& other) {
    return other.place == consumer.place && other.pid == consumer.pid;
  };
  const auto found = std::find_if(before.consumers.begin(), before.consumers.end(), same);
  return found == before.consumers.end() ? ConsumerMetrics{} : *found;
}

double Fraction(absl::Duration before, absl::Duration after, absl::Duration interval) {
  if (interval <= absl::ZeroDuration()) return 0;
  return std::clamp(absl::FDivDuration(after >= before ? after - before : after, interval), 0.0, 1.0);
}

}  // namespace

Rates RatesBetween(const Sample& before, const Sample& after) {
  Rates rates{.interval = after.clock - before.clock,
              .is_new_segment = before.metrics.segment_id != after.metrics.segment_id};
  const ChannelMetrics from = rates.is_new_segment ? ChannelMetrics{} : before.metrics;
  const ChannelMetrics& to = after.metrics;
  rates.slots_per_second =
      PerSecond(from.producer.committed_slots, to.producer.committed_slots, rates.interval);
  rates.bytes_per_second =
      PerSecond(from.producer.committed_bytes, to.producer.committed_bytes, rates.interval);
  rates.blocked_fraction = Fraction(from.producer.blocked, to.producer.blocked, rates.interval);
  for (const ConsumerMetrics& consumer : to.consumers) {
    const ConsumerMetrics earlier = Earlier(from, consumer);
    rates.consumers.push_back(
        {.received_slots_per_second =
             PerSecond(earlier.received_slots, consumer.received_slots, rates.interval),
         .missed_slots_per_second = PerSecond(earlier.missed_slots, consumer.missed_slots, rates.interval)});
    rates.missed_slots_per_second += rates.consumers.back().missed_slots_per_second;
  }
  return rates;
}

uint32_t CountAlive(const ChannelMetrics& metrics) {
  return static_cast<uint32_t>(std::count_if(metrics.consumers.begin(), metrics.consumers.end(),
                                             [](const ConsumerMetrics& consumer) { return consumer.alive; }));
}

uint64_t LargestLag(const ChannelMetrics& metrics) {
  uint64_t lag = 0;
  for (const ConsumerMetrics& consumer : metrics.consumers) {
    if (consumer.alive) lag = std::max(lag, consumer.lag);
  }
  return lag;
}

uint64_t MissedSlots(const ChannelMetrics& metrics) {
  uint64_t missed = 0;
  for (const ConsumerMetrics& consumer : metrics.consumers) missed += consumer.missed_slots;
  return missed;
}

}  // namespace pylabhub::cli
