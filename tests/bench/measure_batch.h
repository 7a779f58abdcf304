// stream in batches: as measure_stream.h, with several messages acquired, committed and released at once.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tests/bench/exchange.h"
#include "tests/bench/measure_stream.h"
#include "tests/bench/rate_meter.h"
#include "tests/bench/subject.h"
#include "tests/bench/trial.h"

namespace pylabhub::bench {

inline constexpr int kBatchesPerClockRead = 4;

// The last message comes alone.
template <typename Writer, typename Size>
absl::Status PourBatches(Writer& writer, Size bytes, double seconds, uint32_t batch_slots) {
  RateMeter meter(seconds);
  const uint64_t deadline_ticks = meter.deadline_ticks();
  uint64_t sequence = 0;
  while (meter.Note(sequence)) {
    for (int i = 0; i < kBatchesPerClockRead; ++i) {
      const auto fill = [=](void* payload, uint32_t index) { FillPayload(payload, bytes, sequence + index); };
      const uint32_t written = writer.WriteBatch(deadline_ticks, batch_slots, fill);
      if (written == 0) return Silent(sequence);
      sequence += written;
    }
  }
  return Send(writer, deadline_ticks, bytes, sequence | kLastMessage) ? absl::OkStatus() : Silent(sequence);
}

template <typename Reader, typename Size>
absl::StatusOr<Sample> DrinkBatches(Reader& reader, Size bytes, double seconds, uint32_t batch_slots) {
  RateMeter meter(seconds);
  for (uint64_t sequence = 0;;) {
    bool good = true;
    bool last = false;
    const auto use = [&, bytes, sequence](const void* payload, uint32_t index) {
      const Verdict verdict = ReadPayload(payload, bytes, sequence + index);
      good = good && verdict != Verdict::kWrong;
      last = verdict == Verdict::kLast;
    };
    const uint32_t read = reader.ReadBatch(meter.deadline_ticks(), batch_slots, use);
    if (read == 0) return Silent(sequence);
    if (!good) return Wrong(sequence);
    sequence += read;
    if (last) return meter.Rate(sequence);
    if (!meter.is_warm()) meter.Note(sequence);
  }
}

template <typename T>
absl::StatusOr<Sample> MeasureBatches(T& transport, const Bench& bench, const TrialSettings& settings) {
  const uint32_t slots = bench.batch_slots;
  return MeasureOneWay(
      transport, bench, settings,
      [slots](auto& writer, auto bytes, double seconds) {
        return PourBatches(writer, bytes, seconds, slots);
      },
      [slots](auto& reader, auto bytes, double seconds) {
        return DrinkBatches(reader, bytes, seconds, slots);
      });
}

}  // namespace pylabhub::bench
