// stream and fanout: messages one way, lossless, as fast as they go, to one reader or to each of several.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "tests/bench/exchange.h"
#include "tests/bench/rate_meter.h"
#include "tests/bench/subject.h"
#include "tests/bench/trial.h"

namespace pylabhub::bench {

// The process that writes a stream until the time is up, and marks the last message.
template <typename Writer, typename Size>
absl::Status Pour(Writer& writer, Size bytes, double seconds) {
  RateMeter meter(seconds);
  const uint64_t mask = ClockMask(bytes);
  for (uint64_t sequence = 0;; ++sequence) {
    const bool last = (sequence & mask) == 0 && !meter.Note(sequence);
    if (!Send(writer, meter.deadline_ticks(), bytes, last ? sequence | kLastMessage : sequence))
      return Silent(sequence);
    if (last) return absl::OkStatus();
  }
}

// A process that reads a stream in full and counts what comes after the warm-up.
template <typename Reader, typename Size>
absl::StatusOr<Sample> Drink(Reader& reader, Size bytes, double seconds) {
  RateMeter meter(seconds);
  const uint64_t mask = ClockMask(bytes);
  for (uint64_t sequence = 0;; ++sequence) {
    const std::optional<Verdict> verdict = Receive(reader, meter.deadline_ticks(), bytes, sequence);
    if (!verdict.has_value()) return Silent(sequence);
    if (*verdict == Verdict::kWrong) return Wrong(sequence);
    if (*verdict == Verdict::kLast) return meter.Rate(sequence);
    if ((sequence & mask) == 0 && !meter.is_warm()) meter.Note(sequence);
  }
}

// One writer on a core of its own, all readers on the other. The rate is that of the reader that saw the lowest.
// Runs `pour(writer, bytes, seconds)` against `drink(reader, bytes, seconds)`.
template <typename T, typename Pour, typename Drink>
absl::StatusOr<Sample> MeasureOneWay(T& transport, const Bench& bench, const TrialSettings& settings,
                                     Pour pour, Drink drink) {
  std::vector<Side> sides;
  for (uint32_t place = 0; place < bench.readers; ++place) {
    const auto read = [&, place](StartLine& start_line) -> absl::StatusOr<Sample> {
      auto reader = transport.OpenReader(Lane::kThere, place);
      if (!reader.ok()) return reader.status();
      if (absl::Status met = start_line.Meet(); !met.ok()) return met;
      absl::StatusOr<Sample> sample =
          WithSize(bench.payload_bytes, [&](auto size) { return drink(**reader, size, settings.seconds); });
      if (!sample.ok()) return sample.status();
      if (absl::Status met = start_line.Meet(); !met.ok()) return met;
      return sample;
    };
    sides.push_back({absl::StrCat("reader ", place), settings.cores.measuring, read});
  }
  const auto write = [&](StartLine& start_line) -> absl::StatusOr<Sample> {
    auto writer = transport.OpenWriter(Lane::kThere);
    if (!writer.ok()) return writer.status();
    if (absl::Status met = start_line.Meet(); !met.ok()) return met;
    absl::Status status =
        WithSize(bench.payload_bytes, [&](auto size) { return pour(**writer, size, settings.seconds); });
    // Not every peer delivers what its writer leaves behind.
    if (status.ok()) status = start_line.Meet();
    if (!status.ok()) return status;
    return Sample{};
  };
  sides.push_back({"writer", settings.cores.other, write});
  absl::StatusOr<std::vector<Sample>> samples = RunSides(settings, sides);
  if (!samples.ok()) return samples.status();
  samples->pop_back();  // the writer's
  return *std::min_element(samples->begin(), samples->end(),
                           [](const Sample& a, const Sample& b) { return a.value < b.value; });
}

template <typename T>
absl::StatusOr<Sample> MeasureStream(T& transport, const Bench& bench, const TrialSettings& settings) {
  return MeasureOneWay(
      transport, bench, settings,
      [](auto& writer, auto bytes, double seconds) { return Pour(writer, bytes, seconds); },
      [](auto& reader, auto bytes, double seconds) { return Drink(reader, bytes, seconds); });
}

}  // namespace pylabhub::bench
