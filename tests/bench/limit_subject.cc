#include "tests/bench/limit_subject.h"

#include "tests/bench/flat_buffer.h"
#include "tests/bench/memcpy_limit.h"
#include "tests/bench/transport.h"
#include "tests/bench/word_ping_pong.h"

namespace pylabhub::bench {
namespace {

absl::StatusOr<Sample> MeasureLimit(const Bench& bench, const TrialSettings& settings) {
  if (bench.shape == Shape::kStream) return MeasureMemcpy(bench, settings);
  if (bench.waiting == Waiting::kSleep) return MeasureFutexRoundTrip(settings);
  if (bench.payload_bytes == kLineBytes) return MeasureLineRoundTrip(settings);
  return TransportSubject<FlatBuffer>().measure(bench, settings);
}

}  // namespace

Subject LimitSubject() {
  const auto has_limit = [](const Bench& bench) {
    return bench.shape == Shape::kRoundTrip || (bench.shape == Shape::kStream && bench.readers == 1);
  };
  return {.name = "limit", .measures = has_limit, .measure = MeasureLimit};
}

}  // namespace pylabhub::bench
