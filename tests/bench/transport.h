// Measures anything that carries messages one way between processes.
//
// A transport is a class `T`, made before the processes are forked, from which each process opens its ends:
//
//   static constexpr absl::string_view kName;      the subject's name in tables
//   static bool Carries(const Bench&);             whether it takes part in a bench
//   static absl::StatusOr<std::unique_ptr<T>> Create(const Bench&);
//   absl::StatusOr<std::unique_ptr<Writer>> OpenWriter(Lane);
//   absl::StatusOr<std::unique_ptr<Reader>> OpenReader(Lane, uint32_t place);
//       of bench.readers; waits, within reason, for the writer to be there
//   bool Writer::Write(deadline_ticks, fill);      fill(void*) writes the message where the transport wants it
//   bool Reader::Read(deadline_ticks, use);        use(const void*) reads it where the transport has it
//   uint32_t Writer::WriteBatch(deadline_ticks, slots, fill);   optional; fill(void*, index) for each of those that it
//   uint32_t Reader::ReadBatch(deadline_ticks, slots, use);     returns, `slots` at most; 0 when the deadline passes
//   bool Reader::LearnsOfTheWritersEnd(deadline_ticks);   optional; nothing is left to read
//
// All wait as Bench::waiting says, and return false when the deadline passes first. Writers and readers are used, and
// end, in the process that opened them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tests/bench/measure_batch.h"
#include "tests/bench/measure_death.h"
#include "tests/bench/measure_handoff.h"
#include "tests/bench/measure_opening.h"
#include "tests/bench/measure_overwrite.h"
#include "tests/bench/measure_round_trip.h"
#include "tests/bench/measure_stream.h"
#include "tests/bench/subject.h"
#include "tests/bench/trial.h"

namespace pylabhub::bench {

template <typename Writer>
concept WritesBatches = requires(Writer& writer) {
  writer.WriteBatch(uint64_t{}, uint32_t{}, [](void*, uint32_t) {});
};

template <typename Reader>
concept NoticesDeath = requires(Reader& reader) {
  reader.LearnsOfTheWritersEnd(uint64_t{});
};

template <typename T>
absl::StatusOr<Sample> MeasureTransport(const Bench& bench, const TrialSettings& settings) {
  absl::StatusOr<std::unique_ptr<T>> created = T::Create(bench);
  if (!created.ok()) return created.status();
  T& transport = **created;
  switch (bench.shape) {
    case Shape::kRoundTrip:
      return MeasureRoundTrip(transport, bench, settings);
    case Shape::kStream:
      return MeasureStream(transport, bench, settings);
    case Shape::kBatches:
      if constexpr (WritesBatches<typename T::Writer>) return MeasureBatches(transport, bench, settings);
      break;
    case Shape::kHandoff:
      return MeasureHandoff(transport, bench, settings);
    case Shape::kOverwrite:
      return MeasureOverwrite(transport, bench, settings);
    case Shape::kCreate:
      return MeasureCreate(transport, bench, settings);
    case Shape::kOpen:
      return MeasureOpen(transport, bench, settings);
    case Shape::kReaderDeath:
      return MeasureReaderDeath(transport, bench, settings);
    case Shape::kWriterDeath:
      if constexpr (NoticesDeath<typename T::Reader>) return MeasureWriterDeath(transport, bench, settings);
      break;
  }
  return absl::UnimplementedError("this subject has no such bench");
}

// The transport `T` as a subject of the benches.
template <typename T>
Subject TransportSubject() {
  return {.name = std::string(T::kName), .measures = &T::Carries, .measure = &MeasureTransport<T>};
}

}  // namespace pylabhub::bench
