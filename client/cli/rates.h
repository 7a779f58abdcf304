// How fast a channel's counters grew between two looks at it.
//
// Pure: no clock is read, and nothing is printed.
//
// Counters are what other processes wrote. One that has become smaller, and everything of a segment or a consumer that was
// not there at the first look, is counted from zero.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "shm/metrics.h"

namespace pylabhub::cli {

struct Sample {
  absl::Duration clock = {};  // of a monotonic clock, since any one moment
  shm::ChannelMetrics metrics = {};
};

struct ConsumerRates {
  double received_slots_per_second = 0;
  double missed_slots_per_second = 0;
};

struct Rates {
  absl::Duration interval = {};
  double slots_per_second = 0;         // committed
  double bytes_per_second = 0;         // of payload, committed
  double missed_slots_per_second = 0;  // of all consumers
  double blocked_fraction = 0;         // of the interval that the producer waited for consumers, 0 to 1
  bool is_new_segment = false;         // another one than at the first look
  std::vector<ConsumerRates> consumers = {};  // in the order of `after.metrics.consumers`
};

// `after` is the later one; an interval of zero gives rates of zero.
Rates RatesBetween(const Sample& before, const Sample& after);

// Over the consumers that are alive.
uint32_t CountAlive(const shm::ChannelMetrics& metrics);
uint64_t LargestLag(const shm::ChannelMetrics& metrics);
// Over those that are attached.
uint64_t MissedSlots(const shm::ChannelMetrics& metrics);

}  // namespace pylabhub::cli
