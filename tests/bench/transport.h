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

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>

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

// The size of a line is known to the compiler, as it is to an application that sends a struct; others are not.
using LineSize = std::integral_constant<uint64_t, kLineBytes>;

template <typename Loop>
auto WithSize(uint64_t bytes, Loop loop) {
  return bytes == kLineBytes ? loop(LineSize()) : loop(bytes);
}

// Writes message `sequence`; false if there was no room in time.
template <typename Writer, typename Size>
inline bool Send(Writer& writer, uint64_t deadline_ticks, Size bytes, uint64_t sequence) {
  return writer.Write(deadline_ticks, [=](void* payload) { FillPayload(payload, bytes, sequence); });
}

// Reads the next message in full, which should be `sequence`; nothing if it did not come in time.
template <typename Reader, typename Size>
inline std::optional<Verdict> Receive(Reader& reader, uint64_t deadline_ticks, Size bytes,
                                      uint64_t sequence) {
  Verdict verdict = Verdict::kWrong;
  const auto use = [&verdict, bytes, sequence](const void* payload) {
    verdict = ReadPayload(payload, bytes, sequence);
  };
  if (!reader.Read(deadline_ticks, use)) return std::nullopt;
  return verdict;
}

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
absl::Status Answer(Writer& writer, Reader& reader, Size bytes, double seconds) {
  const uint64_t deadline_ticks = NowTicks() + TicksOf(2 * seconds + kPatienceSeconds);
  for (uint64_t sequence = 0;; ++sequence) {
    const std::optional<Verdict> verdict = Receive(reader, deadline_ticks, bytes, sequence);
    if (!verdict.has_value()) return Silent(sequence);
    if (*verdict == Verdict::kWrong) return Wrong(sequence);
    const bool last = *verdict == Verdict::kLast;
    if (!Send(writer, deadline_ticks, bytes, last ? sequence | kLastMessage : sequence))
      return Silent(sequence);
    if (last) return absl::OkStatus();
  }
}

// Small messages look at the clock seldom enough for it not to count; large ones each time.
inline uint64_t ClockMask(uint64_t bytes) { return bytes < 4096 ? 63 : 0; }

// The process that writes a stream until the time is up, and marks the last message.
template <typename Writer, typename Size>
absl::Status Pour(Writer& writer, Size bytes, double seconds) {
  const uint64_t end_ticks = NowTicks() + TicksOf(1.1 * seconds);
  const uint64_t deadline_ticks = end_ticks + TicksOf(kPatienceSeconds);
  const uint64_t mask = ClockMask(bytes);
  for (uint64_t sequence = 0;; ++sequence) {
    const bool last = (sequence & mask) == 0 && NowTicks() >= end_ticks;
    if (!Send(writer, deadline_ticks, bytes, last ? sequence | kLastMessage : sequence))
      return Silent(sequence);
    if (last) return absl::OkStatus();
  }
}

// The process that reads a stream in full and counts what comes after the warm-up.
template <typename Reader, typename Size>
absl::StatusOr<Sample> Drink(Reader& reader, Size bytes, double seconds) {
  const uint64_t warm_ticks = NowTicks() + TicksOf(seconds / 10);
  const uint64_t deadline_ticks = warm_ticks + TicksOf(2 * seconds + kPatienceSeconds);
  const uint64_t mask = ClockMask(bytes);
  uint64_t first = 0;
  uint64_t first_ticks = 0;
  for (uint64_t sequence = 0;; ++sequence) {
    const std::optional<Verdict> verdict = Receive(reader, deadline_ticks, bytes, sequence);
    if (!verdict.has_value()) return Silent(sequence);
    if (*verdict == Verdict::kWrong) return Wrong(sequence);
    if (*verdict == Verdict::kLast) {
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

// One side of a round trip: opens its ends, meets the other side, runs `loop(writer, reader, size)`.
template <typename T, typename Loop>
auto BothEnds(T& transport, Lane out, uint64_t bytes, StartLine& start_line, Loop loop)
    -> absl::StatusOr<Sample> {
  auto writer = transport.OpenWriter(out);
  if (!writer.ok()) return writer.status();
  auto reader = transport.OpenReader(out == Lane::kThere ? Lane::kBack : Lane::kThere);
  if (!reader.ok()) return reader.status();
  if (absl::Status met = start_line.Meet(); !met.ok()) return met;
  return WithSize(bytes, [&](auto size) { return loop(**writer, **reader, size); });
}

template <typename T>
absl::StatusOr<Sample> MeasureRoundTrip(T& transport, const Bench& bench, const TrialSettings& settings) {
  const double seconds = settings.seconds;
  const uint64_t bytes = bench.payload_bytes;
  const auto ask = [&](StartLine& start_line) {
    return BothEnds(transport, Lane::kThere, bytes, start_line, [=](auto& writer, auto& reader, auto size) {
      return Ask(writer, reader, size, seconds);
    });
  };
  const auto answer = [&](StartLine& start_line) {
    const auto loop = [=](auto& writer, auto& reader, auto size) -> absl::StatusOr<Sample> {
      absl::Status status = Answer(writer, reader, size, seconds);
      if (!status.ok()) return status;
      return Sample{};
    };
    return BothEnds(transport, Lane::kBack, bytes, start_line, loop).status();
  };
  return RunTrial(settings, ask, answer);
}

template <typename T>
absl::StatusOr<Sample> MeasureStream(T& transport, const Bench& bench, const TrialSettings& settings) {
  const auto drink = [&](StartLine& start_line) -> absl::StatusOr<Sample> {
    auto reader = transport.OpenReader(Lane::kThere);
    if (!reader.ok()) return reader.status();
    if (absl::Status met = start_line.Meet(); !met.ok()) return met;
    return WithSize(bench.payload_bytes, [&](auto size) { return Drink(**reader, size, settings.seconds); });
  };
  const auto pour = [&](StartLine& start_line) -> absl::Status {
    auto writer = transport.OpenWriter(Lane::kThere);
    if (!writer.ok()) return writer.status();
    if (absl::Status met = start_line.Meet(); !met.ok()) return met;
    return WithSize(bench.payload_bytes, [&](auto size) { return Pour(**writer, size, settings.seconds); });
  };
  return RunTrial(settings, drink, pour);
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
            return bench.shape == Shape::kRoundTrip
                       ? transport_internal::MeasureRoundTrip(**created, bench, settings)
                       : transport_internal::MeasureStream(**created, bench, settings);
          }};
}

}  // namespace pylabhub::bench
