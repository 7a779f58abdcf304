// What is measured: the list of benches, and what one trial of one of them yields.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace pylabhub::bench {

enum class Shape {
  kRoundTrip,  // a message there and the same back, one at a time
  kStream,     // messages one way, lossless, as fast as they go
};

enum class Waiting {
  kSpin,      // looks again and again
  kSleep,     // goes to sleep in the kernel at once
  kAdaptive,  // looks for about as long as a wake takes, then sleeps: what an application gets by default
};

struct Bench {
  std::string name;
  Shape shape;
  Waiting waiting;
  uint64_t payload_bytes;
  // Messages that a channel holds before its writer must wait.
  uint32_t capacity_slots;
};

// Every bench, in the order in which they are run and printed.
const std::vector<Bench>& AllBenches();

// What one trial measured.
struct Sample {
  // A round trip: the median, in ns. A stream: messages a second.
  double value = 0;
  // A round trip: the 99.9th percentile, in ns. A stream: 0.
  double tail = 0;
};

}  // namespace pylabhub::bench
