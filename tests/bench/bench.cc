#include "tests/bench/bench.h"

#include <algorithm>

namespace pylabhub::bench {

const std::vector<Bench>& AllBenches() {
  constexpr uint64_t kKib = 1024;
  constexpr uint64_t kMib = 1024 * kKib;
  static const auto& benches = *new std::vector<Bench>{
      {"rtt.64B.spin", Shape::kRoundTrip, Waiting::kSpin, 64, 8},
      {"rtt.64B.sleep", Shape::kRoundTrip, Waiting::kSleep, 64, 8},
      {"rtt.64B.adaptive", Shape::kRoundTrip, Waiting::kAdaptive, 64, 8},
      {"rtt.4KiB.spin", Shape::kRoundTrip, Waiting::kSpin, 4 * kKib, 8, 1, "4 KiB round trips"},
      {.name = "checksum.4KiB",
       .shape = Shape::kRoundTrip,
       .payload_bytes = 4 * kKib,
       .family = "4 KiB round trips",
       .checksums = true,
       .ours_alone = true},
      {"rtt.1MiB.spin", Shape::kRoundTrip, Waiting::kSpin, kMib, 8},
      {"stream.64B", Shape::kStream, Waiting::kSpin, 64, 256, 1, "small streams"},
      {.name = "stream.64B.batch16",
       .shape = Shape::kBatches,
       .payload_bytes = 64,
       .capacity_slots = 256,
       .family = "small streams",
       .batch_slots = 16,
       .ours_alone = true},
      {"overwrite.64B", Shape::kOverwrite, Waiting::kSpin, 64, 256, 1, "small streams"},
      {"stream.64KiB", Shape::kStream, Waiting::kSpin, 64 * kKib, 16},
      {"stream.1MiB", Shape::kStream, Waiting::kSpin, kMib, 16},
      {"stream.8MiB", Shape::kStream, Waiting::kSpin, 8 * kMib, 8},
      {"handoff.1MiB", Shape::kHandoff, Waiting::kSpin, kMib, 16},
      {"fanout2.64B", Shape::kStream, Waiting::kSleep, 64, 256, 2},
      {"fanout4.64B", Shape::kStream, Waiting::kSleep, 64, 256, 4},
      {.name = "fanout4.1MiB",
       .shape = Shape::kStream,
       .waiting = Waiting::kSleep,
       .payload_bytes = kMib,
       .readers = 4,
       .family = "large fan-out",
       .writer_spins = true},
      {.name = "fanout4.1MiB.sleep",
       .shape = Shape::kStream,
       .waiting = Waiting::kSleep,
       .payload_bytes = kMib,
       .readers = 4,
       .family = "large fan-out",
       .ours_alone = true},
      {"create", Shape::kCreate, Waiting::kAdaptive, 64, 64},
      {"open", Shape::kOpen, Waiting::kAdaptive, 64, 64},
      {"death.reader", Shape::kReaderDeath, Waiting::kAdaptive, 64, 64, 2},
      {"death.writer", Shape::kWriterDeath, Waiting::kAdaptive, 64, 64, 2},
  };
  return benches;
}

std::vector<std::string> AllSuites() {
  std::vector<std::string> suites;
  for (const Bench& bench : AllBenches()) {
    if (std::find(suites.begin(), suites.end(), bench.suite) == suites.end()) suites.push_back(bench.suite);
  }
  return suites;
}

}  // namespace pylabhub::bench
