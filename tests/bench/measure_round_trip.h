// rtt: a message to another process and one of the same size back, one at a time.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tests/bench/clock.h"
#include "tests/bench/exchange.h"
#include "tests/bench/subject.h"
#include "tests/bench/trial.h"
#include "tests/bench/trip_timer.h"

namespace pylabhub::bench {

// The process that asks: writes a message, waits for the answer, and times the two together.
template <typename Writer, typename Reader, typename Size>
absl::StatusOr<Sample> Ask(Writer& writer, Reader& reader, Size bytes, double seconds) {
  TripTimer timer(seconds);
  const uint64_t deadline_ticks = timer.deadline_ticks();
  for (uint64_t sequence = 0;; ++sequence) {
    const bool last = !timer.Lap();
    if (!Send(writer, deadline_ticks, bytes, last ? sequence | kLastMessage : sequence))
      return Silent(sequence);
    const std::optional<Verdict> verdict = Receive(reader, deadline_ticks, bytes, sequence);
    if (!verdict.has_value()) return Silent(sequence);
    if (*verdict != (last ? Verdict::kLast : Verdict::kGood)) return Wrong(sequence);
    if (last) return timer.Percentiles();
  }
}

// The process that answers: reads each message in full and writes one like it back.
template <typename Writer, typename Reader, typename Size>
absl::StatusOr<Sample> Answer(Writer& writer, Reader& reader, Size bytes, double seconds) {
  const uint64_t deadline_ticks = NowTicks() + TicksOf(2 * seconds + kPatienceSeconds);
  for (uint64_t sequence = 0;; ++sequence) {
    const std::optional<Verdict> verdict = Receive(reader, deadline_ticks, bytes, sequence);
    if (!verdict.has_value()) return Silent(sequence);
    if (*verdict == Verdict::kWrong) return Wrong(sequence);
    const bool last = *verdict == Verdict::kLast;
    if (!Send(writer, deadline_ticks, bytes, last ? sequence | kLastMessage : sequence))
      return Silent(sequence);
    if (last) return Sample{};
  }
}

template <typename T>
absl::StatusOr<Sample> MeasureRoundTrip(T& transport, const Bench& bench, const TrialSettings& settings) {
  // Opens both ends, meets the other side, runs `loop(writer, reader, size)`.
  const auto with_both_ends = [&](Lane out, StartLine& start_line, auto loop) -> absl::StatusOr<Sample> {
    auto writer = transport.OpenWriter(out);
    if (!writer.ok()) return writer.status();
    auto reader = transport.OpenReader(out == Lane::kThere ? Lane::kBack : Lane::kThere, 0);
    if (!reader.ok()) return reader.status();
    if (absl::Status met = start_line.Meet(); !met.ok()) return met;
    return WithSize(bench.payload_bytes, [&](auto size) { return loop(**writer, **reader, size); });
  };
  const double seconds = settings.seconds;
  const auto ask = [&](StartLine& start_line) {
    return with_both_ends(Lane::kThere, start_line, [seconds](auto& writer, auto& reader, auto size) {
      return Ask(writer, reader, size, seconds);
    });
  };
  const auto answer = [&](StartLine& start_line) {
    return with_both_ends(Lane::kBack, start_line, [seconds](auto& writer, auto& reader, auto size) {
      return Answer(writer, reader, size, seconds);
    });
  };
  return RunTrial(settings, {{"the side that asks", settings.cores.measuring, ask},
                             {"the side that answers", settings.cores.other, answer}});
}

}  // namespace pylabhub::bench
