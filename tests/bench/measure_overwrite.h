// overwrite: how fast a writer goes that never waits, while one reader is too slow for it.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>
#include <new>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tests/bench/clock.h"
#include "tests/bench/exchange.h"
#include "tests/bench/rate_meter.h"
#include "tests/bench/shared_memory.h"
#include "tests/bench/subject.h"
#include "tests/bench/trial.h"

namespace pylabhub::bench {

// What the reader does with each message besides reading it.
inline constexpr double kSlowReaderSeconds = 1e-6;

template <typename Writer, typename Size>
absl::StatusOr<Sample> Outrun(Writer& writer, Size bytes, double seconds) {
  RateMeter meter(seconds);
  const uint64_t mask = ClockMask(bytes);
  for (uint64_t sequence = 0;; ++sequence) {
    if ((sequence & mask) == 0 && !meter.Note(sequence)) return meter.Rate(sequence);
    if (!Send(writer, meter.deadline_ticks(), bytes, sequence)) return Silent(sequence);
  }
}

// Reads slowly what it gets, which must be whole, and newer than what it had, until the writer is done.
template <typename Reader, typename Size>
absl::StatusOr<Sample> FallBehind(Reader& reader, Size bytes, const std::atomic<bool>& writer_is_done) {
  constexpr double kGlanceSeconds = 0.05;
  uint64_t next = 0;
  uint64_t received = 0;
  bool good = true;
  while (!writer_is_done.load(std::memory_order_relaxed)) {
    const auto use = [&](const void* payload) {
      uint64_t sequence;
      std::memcpy(&sequence, payload, sizeof(sequence));
      good = sequence >= next && ReadPayload(payload, bytes, sequence) == Verdict::kGood;
      next = sequence + 1;
    };
    if (!reader.Read(NowTicks() + TicksOf(kGlanceSeconds), use)) continue;
    if (!good) return Wrong(received);
    ++received;
    const uint64_t work_end_ticks = NowTicks() + TicksOf(kSlowReaderSeconds);
    while (NowTicks() < work_end_ticks) continue;
  }
  if (received == 0 || received == next) return absl::InternalError("the reader was never too slow");
  return Sample{};
}

template <typename T>
absl::StatusOr<Sample> MeasureOverwrite(T& transport, const Bench& bench, const TrialSettings& settings) {
  absl::StatusOr<SharedMemory> memory = SharedMemory::Create(sizeof(std::atomic<bool>));
  if (!memory.ok()) return memory.status();
  auto& writer_is_done = *new (memory->base()) std::atomic<bool>(false);
  const auto outrun = [&](StartLine& start_line) -> absl::StatusOr<Sample> {
    auto writer = transport.OpenWriter(Lane::kThere);
    if (!writer.ok()) return writer.status();
    if (absl::Status met = start_line.Meet(); !met.ok()) return met;
    absl::StatusOr<Sample> sample =
        WithSize(bench.payload_bytes, [&](auto size) { return Outrun(**writer, size, settings.seconds); });
    // Before the channel is closed, which the reader would take for a failure.
    writer_is_done.store(true, std::memory_order_relaxed);
    return sample;
  };
  const auto fall_behind = [&](StartLine& start_line) -> absl::StatusOr<Sample> {
    auto reader = transport.OpenReader(Lane::kThere, 0);
    if (!reader.ok()) return reader.status();
    if (absl::Status met = start_line.Meet(); !met.ok()) return met;
    return WithSize(bench.payload_bytes,
                    [&](auto size) { return FallBehind(**reader, size, writer_is_done); });
  };
  return RunTrial(settings, {{"writer", settings.cores.other, outrun},
                             {"reader", settings.cores.measuring, fall_behind}});
}

}  // namespace pylabhub::bench
