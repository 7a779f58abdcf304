// Measures anything that carries messages one way between two processes.
//
// A transport is a class `T`, made before the processes are forked, from which each process opens its ends:
//
//   static constexpr absl::string_view kName;      the subject's name in tables
//   static bool Carries(const Bench&);             whether it can take part in a bench
//   static absl::StatusOr<std::unique_ptr<T>> Create(const Bench&);
//   absl::StatusOr<std::unique_ptr<Writer>> OpenWriter(Lane);
//   absl::StatusOr<std::unique_ptr<Reader>> OpenReader(Lane);   waits, within reason, for the writer to be
//   there bool Writer::Write(deadline_ticks, fill);      fill(void*) writes the message where the transport
//   wants it bool Reader::Read(deadline_ticks, use);        use(const void*) reads it where the transport has
//   it
//
// Both wait as Bench::waiting says, and return false when the deadline passes first.
#pragma once

#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "tests/bench/clock.h"
#include "tests/bench/payload.h"
#include "tests/bench/round_trip.h"
#include "tests/bench/subject.h"
#include "tests/bench/trial.h"

namespace pylabhub::bench {

namespace transport_internal {

inline absl::Status Silent(uint64_t sequence) {
  return absl::DeadlineExceededError(absl::StrCat("no answer from the peer at message ", sequence));
}

inline absl::Status Wrong(uint64_t sequence) {
  return absl::DataLossError(absl::StrCat("message ", sequence, " is not what was written"));
}

// The process that asks: writes a message, waits for the answer, and times the two together.
template <typename T>
absl::StatusOr<Sample> Ask(T& transport, const Bench& bench, double seconds, StartLine& start_line) {
  auto writer = transport.OpenWriter(Lane::kThere);
  if (!writer.ok()) return writer.status();
  auto reader = transport.OpenReader(Lane::kBack);
  if (!reader.ok()) return reader.status();
  if (absl::Status met = start_line.Meet(); !met.ok()) return met;

  TripTimer timer(seconds);
  const uint64_t deadline_ticks = timer.deadline_ticks();
  const uint64_t bytes = bench.payload_bytes;
  bool last = false;
  for (uint64_t sequence = 0; !last; ++sequence) {
    last = !timer.Lap();
    const uint64_t marked = last ? sequence | kLastMessage : sequence;
    const auto fill = [&](void* payload) { FillPayload(payload, bytes, marked); };
    if (!(*writer)->Write(deadline_ticks, fill)) return Silent(sequence);

    Verdict verdict = Verdict::kWrong;
    const auto use = [&](const void* payload) { verdict = ReadPayload(payload, bytes, sequence); };
    if (!(*reader)->Read(deadline_ticks, use)) return Silent(sequence);
    if (verdict != (last ? Verdict::kLast : Verdict::kGood)) return Wrong(sequence);
  }
  return timer.Percentiles();
}

// The process that answers: reads each message in full and writes one like it back.
template <typename T>
absl::Status Answer(T& transport, const Bench& bench, double seconds, StartLine& start_line) {
  auto writer = transport.OpenWriter(Lane::kBack);
  if (!writer.ok()) return writer.status();
  auto reader = transport.OpenReader(Lane::kThere);
  if (!reader.ok()) return reader.status();
  if (absl::Status met = start_line.Meet(); !met.ok()) return met;

  const uint64_t deadline_ticks = NowTicks() + TicksOf(2 * seconds + kPatienceSeconds);
  const uint64_t bytes = bench.payload_bytes;
  for (uint64_t sequence = 0;; ++sequence) {
    Verdict verdict = Verdict::kWrong;
    const auto use = [&](const void* payload) { verdict = ReadPayload(payload, bytes, sequence); };
    if (!(*reader)->Read(deadline_ticks, use)) return Silent(sequence);
    if (verdict == Verdict::kWrong) return Wrong(sequence);

    const uint64_t marked = verdict == Verdict::kLast ? sequence | kLastMessage : sequence;
    const auto fill = [&](void* payload) { FillPayload(payload, bytes, marked); };
    if (!(*writer)->Write(deadline_ticks, fill)) return Silent(sequence);
    if (verdict == Verdict::kLast) return absl::OkStatus();
  }
}

// Small messages look at the clock seldom enough for it not to count; large ones each time.
inline uint64_t ClockMask(const Bench& bench) { return bench.payload_bytes < 4096 ? 63 : 0; }

// The process that writes a stream until the time is up, and marks the last message.
template <typename T>
absl::Status Pour(T& transport, const Bench& bench, double seconds, StartLine& start_line) {
  auto writer = transport.OpenWriter(Lane::kThere);
  if (!writer.ok()) return writer.status();
  if (absl::Status met = start_line.Meet(); !met.ok()) return met;

  const uint64_t end_ticks = NowTicks() + TicksOf(1.1 * seconds);
  const uint64_t deadline_ticks = end_ticks + TicksOf(kPatienceSeconds);
  const uint64_t bytes = bench.payload_bytes;
  const uint64_t mask = ClockMask(bench);
  bool last = false;
  for (uint64_t sequence = 0; !last; ++sequence) {
    last = (sequence & mask) == 0 && NowTicks() >= end_ticks;
    const uint64_t marked = last ? sequence | kLastMessage : sequence;
    const auto fill = [&](void* payload) { FillPayload(payload, bytes, marked); };
    if (!(*writer)->Write(deadline_ticks, fill)) return Silent(sequence);
  }
  return absl::OkStatus();
}

// The process that reads a stream in full and counts what comes after the warm-up.
template <typename T>
absl::StatusOr<Sample> Drink(T& transport, const Bench& bench, double seconds, StartLine& start_line) {
  auto reader = transport.OpenReader(Lane::kThere);
  if (!reader.ok()) return reader.status();
  if (absl::Status met = start_line.Meet(); !met.ok()) return met;

  const uint64_t warm_ticks = NowTicks() + TicksOf(seconds / 10);
  const uint64_t deadline_ticks = warm_ticks + TicksOf(2 * seconds + kPatienceSeconds);
  const uint64_t bytes = bench.payload_bytes;
  const uint64_t mask = ClockMask(bench);
  uint64_t first = 0;
  uint64_t first_ticks = 0;
  for (uint64_t sequence = 0;; ++sequence) {
    Verdict verdict = Verdict::kWrong;
    const auto use = [&](const void* payload) { verdict = ReadPayload(payload, bytes, sequence); };
    if (!(*reader)->Read(deadline_ticks, use)) return Silent(sequence);
    if (verdict == Verdict::kWrong) return Wrong(sequence);
    if (verdict == Verdict::kLast) {
      if (first_ticks == 0) return absl::InternalError("the stream ended before it was warm");
      const double elapsed_ns = static_cast<double>(NowTicks() - first_ticks) * NsPerTick();
      return Sample{.value = static_cast<double>(sequence - first) / elapsed_ns * 1e9, .tail = 0};
    }
    if (first_ticks == 0 && (sequence & mask) == 0 && NowTicks() >= warm_ticks) {
      first = sequence;
      first_ticks = NowTicks();
    }
  }
}

}  // namespace transport_internal

// The transport `T` as a subject of the benches.
template <typename T>
Subject TransportSubject() {
  return {.name = std::string(T::kName),
          .measures = &T::Carries,
          .measure = [](const Bench& bench, const TrialSettings& settings) -> absl::StatusOr<Sample> {
            auto created = T::Create(bench);
            if (!created.ok()) return created.status();
            T& transport = **created;
            const double seconds = settings.seconds;
            namespace side = transport_internal;
            if (bench.shape == Shape::kRoundTrip) {
              return RunTrial(
                  settings, [&](StartLine& line) { return side::Ask(transport, bench, seconds, line); },
                  [&](StartLine& line) { return side::Answer(transport, bench, seconds, line); });
            }
            return RunTrial(
                settings, [&](StartLine& line) { return side::Drink(transport, bench, seconds, line); },
                [&](StartLine& line) { return side::Pour(transport, bench, seconds, line); });
          }};
}

}  // namespace pylabhub::bench
