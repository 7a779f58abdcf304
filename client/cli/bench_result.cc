#include "client/cli/bench_result.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/quantity.h"

namespace pylabhub::cli {
namespace {

using nlohmann::ordered_json;

// Two digits behind the point: what a round trip is told in.
std::string Microseconds(absl::Duration duration) {
  return absl::StrFormat("%.2f us", absl::ToDoubleMicroseconds(duration));
}

}  // namespace

double Streaming::slots_per_second() const {
  return duration > absl::ZeroDuration() ? static_cast<double>(slots) / absl::ToDoubleSeconds(duration) : 0;
}

RoundTrips Summarize(uint64_t slot_bytes, std::vector<absl::Duration> times) {
  RoundTrips summary{.slot_bytes = slot_bytes, .rounds = times.size()};
  if (times.empty()) return summary;
  std::sort(times.begin(), times.end());
  summary.median = times[times.size() / 2];
  summary.p99 = times[times.size() * 99 / 100];
  summary.longest = times.back();
  return summary;
}

Table TableOf(const BenchResult& result) {
  Table table({{"MEASURE"},
               {"SLOT", Align::kRight},
               {"SLOTS", Align::kRight},
               {"SLOTS/S", Align::kRight},
               {"BYTES/S", Align::kRight},
               {"MEDIAN", Align::kRight},
               {"P99", Align::kRight},
               {"LONGEST", Align::kRight}});
  for (const RoundTrips& trips : result.round_trips) {
    table.AddRow({"round trip", BytesText(trips.slot_bytes), absl::StrCat(trips.rounds), "", "",
                  Microseconds(trips.median), Microseconds(trips.p99), Microseconds(trips.longest)});
  }
  for (const Streaming& stream : result.streaming) {
    table.AddRow({"streaming", BytesText(stream.slot_bytes), absl::StrCat(stream.slots),
                  RateText(stream.slots_per_second()), ByteRateText(stream.bytes_per_second()), "", "", ""});
  }
  return table;
}

std::vector<ordered_json> ObjectsOf(const BenchResult& result) {
  std::vector<ordered_json> objects;
  for (const RoundTrips& trips : result.round_trips) {
    objects.push_back({{"measure", "round_trip"},
                       {"slot_bytes", trips.slot_bytes},
                       {"rounds", trips.rounds},
                       {"median_ns", absl::ToInt64Nanoseconds(trips.median)},
                       {"p99_ns", absl::ToInt64Nanoseconds(trips.p99)},
                       {"longest_ns", absl::ToInt64Nanoseconds(trips.longest)}});
  }
  for (const Streaming& stream : result.streaming) {
    objects.push_back({{"measure", "streaming"},
                       {"slot_bytes", stream.slot_bytes},
                       {"slots", stream.slots},
                       {"duration_ns", absl::ToInt64Nanoseconds(stream.duration)},
                       {"slots_per_second", stream.slots_per_second()},
                       {"bytes_per_second", stream.bytes_per_second()}});
  }
  return objects;
}

}  // namespace pylabhub::cli
