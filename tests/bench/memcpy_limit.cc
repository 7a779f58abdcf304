#include "tests/bench/memcpy_limit.h"

#include <cstdint>
#include <cstring>
#include <vector>

#include "absl/status/status.h"
#include "tests/bench/clock.h"

namespace pylabhub::bench {
namespace {

constexpr uint64_t kLargestBlockInL2 = uint64_t{64} * 1024;
constexpr uint64_t kWalkInL2 = uint64_t{512} * 1024;
constexpr uint64_t kWalkInMemory = uint64_t{64} * 1024 * 1024;

}  // namespace

absl::StatusOr<Sample> MeasureMemcpy(const Bench& bench, const TrialSettings& settings) {
  const auto copy = [&]() -> absl::StatusOr<Sample> {
    const uint64_t block_bytes = bench.payload_bytes;
    const uint64_t walk_bytes = block_bytes <= kLargestBlockInL2 ? kWalkInL2 : kWalkInMemory;
    std::vector<char> from(walk_bytes, 1);
    std::vector<char> to(walk_bytes, 2);

    // One walk to warm up, then whole walks until the time is up.
    uint64_t blocks = 0;
    uint64_t start_ticks = 0;
    uint64_t now_ticks = 0;
    for (bool warm = false; !warm || now_ticks - start_ticks < TicksOf(settings.seconds); warm = true) {
      for (uint64_t offset = 0; offset < walk_bytes; offset += block_bytes) {
        std::memcpy(to.data() + offset, from.data() + offset, block_bytes);
        // The compiler must not see that nobody reads the copy.
        asm volatile("" : : "r"(to.data()) : "memory");
      }
      now_ticks = NowTicks();
      if (!warm) {
        start_ticks = now_ticks;
      } else {
        blocks += walk_bytes / block_bytes;
      }
    }
    if (to != from) return absl::InternalError("the copy differs from its source");
    return Sample{.value = static_cast<double>(blocks) /
                           (static_cast<double>(now_ticks - start_ticks) * NsPerTick()) * 1e9,
                  .tail = 0};
  };
  return RunAlone(settings, copy);
}

}  // namespace pylabhub::bench
