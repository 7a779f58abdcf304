// What is measured: the list of benches, and what one trial of one of them yields.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace pylabhub::bench {

enum class Shape {
  kRoundTrip,    // a message there and the same back, one at a time
  kStream,       // messages one way, lossless, as fast as they go, to every one of the readers
  kBatches,      // a stream, with several messages acquired, committed and released at once
  kHandoff,      // the same with messages that nobody fills or reads
  kOverwrite,    // messages one way from a writer that never waits, to a reader that is too slow for it
  kCreate,       // making the writing end of a channel, and with it the channel
  kOpen,         // opening the reading end of a channel that is there
  kReaderDeath,  // a reader that holds a message is killed while the writer waits for it
  kWriterDeath,  // the writer is killed while its readers wait for a message
};

enum class Waiting {
  kSpin,      // looks again and again
  kSleep,     // goes to sleep in the kernel at once
  kAdaptive,  // looks for about as long as a wake takes, then sleeps: what an application gets by default
};

struct Bench {
  std::string name = {};
  Shape shape = Shape::kRoundTrip;
  Waiting waiting = Waiting::kSpin;
  uint64_t payload_bytes = 64;
  // Messages that a channel holds before its writer must wait.
  uint32_t capacity_slots = 8;
  uint32_t readers = 1;
  // Neighbours in the list with the same family are compared with each other, and so are measured in the same rounds.
  // Empty: alone.
  std::string family = {};
  uint32_t batch_slots = 1;
  // The writer waits for room without sleeping, however the readers wait: iceoryx's and the bare ring's always do.
  bool writer_spins = false;
  bool checksums = false;
  // What only pylabhub offers, or a yardstick for it.
  bool ours_alone = false;
  std::string suite = "data";
};

// Every bench, in the order in which they are run and printed.
const std::vector<Bench>& AllBenches();
// Their suites, each once.
std::vector<std::string> AllSuites();

// What one trial measured.
struct Sample {
  // A duration in ns (of many, the median), or messages a second.
  double value = 0;
  // A round trip: the 99.9th percentile, in ns. A death: the longest, in ns. Else 0.
  double tail = 0;
};

}  // namespace pylabhub::bench
