// handoff: messages one way, lossless, that nobody fills and nobody reads: what the transport itself costs.
#pragma once

#include <atomic>
#include <cstdint>
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

// Since no message says which it is, the two sides agree on how many there are: the reader says when the time is up, the
// writer announces the number of the last message before it sends it, and the reader must receive exactly so many.
struct HandoffWords {
  alignas(128) std::atomic<bool> time_is_up{false};
  alignas(128) std::atomic<uint64_t> total{UINT64_MAX};
};

inline constexpr uint64_t kHandoffClockMask = 63;

template <typename Writer>
absl::StatusOr<Sample> HandOver(Writer& writer, HandoffWords& words, double seconds) {
  const uint64_t deadline_ticks = NowTicks() + TicksOf(2 * seconds + kPatienceSeconds);
  for (uint64_t sequence = 0;; ++sequence) {
    const bool last = words.time_is_up.load(std::memory_order_relaxed);
    // Relaxed: the message that follows carries it to the reader.
    if (last) words.total.store(sequence + 1, std::memory_order_relaxed);
    if (!writer.Write(deadline_ticks, [](void*) {})) return Silent(sequence);
    if (last) return Sample{};
  }
}

template <typename Reader>
absl::StatusOr<Sample> TakeOver(Reader& reader, HandoffWords& words, double seconds) {
  RateMeter meter(seconds);
  absl::StatusOr<Sample> sample = absl::InternalError("the messages ended too early");
  for (uint64_t received = 1;; ++received) {
    if (!reader.Read(meter.deadline_ticks(), [](const void*) {})) return Silent(received - 1);
    const uint64_t total = words.total.load(std::memory_order_relaxed);
    if (received > total) return absl::DataLossError("a message came twice");
    if (received == total) return sample;
    if ((received & kHandoffClockMask) != 0 || sample.ok() || meter.Note(received)) continue;
    sample = meter.Rate(received);
    words.time_is_up.store(true, std::memory_order_relaxed);
  }
}

template <typename T>
absl::StatusOr<Sample> MeasureHandoff(T& transport, const Bench& /*bench*/, const TrialSettings& settings) {
  absl::StatusOr<SharedMemory> memory = SharedMemory::Create(sizeof(HandoffWords));
  if (!memory.ok()) return memory.status();
  auto& words = *new (memory->base()) HandoffWords();
  const auto take_over = [&](StartLine& start_line) -> absl::StatusOr<Sample> {
    auto reader = transport.OpenReader(Lane::kThere, 0);
    if (!reader.ok()) return reader.status();
    if (absl::Status met = start_line.Meet(); !met.ok()) return met;
    return TakeOver(**reader, words, settings.seconds);
  };
  const auto hand_over = [&](StartLine& start_line) -> absl::StatusOr<Sample> {
    auto writer = transport.OpenWriter(Lane::kThere);
    if (!writer.ok()) return writer.status();
    if (absl::Status met = start_line.Meet(); !met.ok()) return met;
    return HandOver(**writer, words, settings.seconds);
  };
  return RunTrial(settings, {{"reader", settings.cores.measuring, take_over},
                             {"writer", settings.cores.other, hand_over}});
}

}  // namespace pylabhub::bench
