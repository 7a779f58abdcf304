// What a measurement between two processes came to. Pure.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <vector>

#include "absl/time/time.h"
#include "client/cli/table.h"

namespace pylabhub::cli {

// There and back again, through two channels.
struct RoundTrips {
  uint64_t slot_bytes = 0;
  uint64_t rounds = 0;
  absl::Duration median = {};
  absl::Duration p99 = {};
  absl::Duration longest = {};
};

// One way, as fast as both can.
struct Streaming {
  uint64_t slot_bytes = 0;
  uint64_t slots = 0;
  absl::Duration duration = {};

  double slots_per_second() const;
  double bytes_per_second() const { return slots_per_second() * static_cast<double>(slot_bytes); }
};

// `times` may be in any order; none gives zeros.
RoundTrips Summarize(uint64_t slot_bytes, std::vector<absl::Duration> times);

struct BenchResult {
  std::vector<RoundTrips> round_trips = {};
  std::vector<Streaming> streaming = {};
};

Table TableOf(const BenchResult& result);

// One object for each measurement: {"measure":"round_trip",...}, {"measure":"streaming",...}.
std::vector<nlohmann::ordered_json> ObjectsOf(const BenchResult& result);

}  // namespace pylabhub::cli
