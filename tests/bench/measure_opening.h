// create and open: how long it takes until a channel can be written to, or read from.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <new>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tests/bench/clock.h"
#include "tests/bench/shared_memory.h"
#include "tests/bench/subject.h"
#include "tests/bench/trial.h"
#include "tests/bench/waiting.h"

namespace pylabhub::bench {

// No more: iceoryx keeps what is closed for a while, and has room for some hundred.
inline constexpr int kMostOpenings = 200;

// Calls `open`, which returns a StatusOr of an owner, again and again; its median time. What it made is destroyed in
// between, and not timed. The first call warms up.
template <typename Open>
absl::StatusOr<Sample> TimeOpenings(double seconds, Open open) {
  std::vector<double> times_ns;
  const uint64_t end_ticks = NowTicks() + TicksOf(seconds);
  for (int i = 0; i <= kMostOpenings && (i < 2 || NowTicks() < end_ticks); ++i) {
    const uint64_t start_ticks = NowTicks();
    auto opened = open();
    const uint64_t stop_ticks = NowTicks();
    if (!opened.ok()) return opened.status();
    if (i > 0) times_ns.push_back(static_cast<double>(stop_ticks - start_ticks) * NsPerTick());
  }
  const auto middle = times_ns.begin() + static_cast<ptrdiff_t>(times_ns.size() / 2);
  std::nth_element(times_ns.begin(), middle, times_ns.end());
  return Sample{.value = *middle, .tail = 0};
}

template <typename T>
absl::StatusOr<Sample> MeasureCreate(T& transport, const Bench& /*bench*/, const TrialSettings& settings) {
  return RunAlone(settings, [&] {
    return TimeOpenings(settings.seconds, [&] { return transport.OpenWriter(Lane::kThere); });
  });
}

template <typename T>
absl::StatusOr<Sample> MeasureOpen(T& transport, const Bench& /*bench*/, const TrialSettings& settings) {
  absl::StatusOr<SharedMemory> memory = SharedMemory::Create(sizeof(std::atomic<uint32_t>));
  if (!memory.ok()) return memory.status();
  auto& reader_is_done = *new (memory->base()) std::atomic<uint32_t>(0);
  const auto read = [&](StartLine& start_line) -> absl::StatusOr<Sample> {
    if (absl::Status met = start_line.Meet(); !met.ok()) return met;
    absl::StatusOr<Sample> sample =
        TimeOpenings(settings.seconds, [&] { return transport.OpenReader(Lane::kThere, 0); });
    reader_is_done.store(1, std::memory_order_relaxed);
    FutexWake(reader_is_done);
    return sample;
  };
  const auto write = [&](StartLine& start_line) -> absl::StatusOr<Sample> {
    auto writer = transport.OpenWriter(Lane::kThere);
    if (!writer.ok()) return writer.status();
    if (absl::Status met = start_line.Meet(); !met.ok()) return met;
    SleepWhile(reader_is_done, 0, NowTicks() + TicksOf(2 * settings.seconds + kPatienceSeconds));
    return Sample{};
  };
  return RunTrial(settings,
                  {{"reader", settings.cores.measuring, read}, {"writer", settings.cores.other, write}});
}

}  // namespace pylabhub::bench
