#include "client/cli/bench_result.h"

#include <gtest/gtest.h>

namespace pylabhub::cli {
namespace {

TEST(BenchResultTest, TheMedianIsTheMiddleOfTheTimesInTheirOrder) {
  std::vector<absl::Duration> times;
  for (int i = 1000; i > 0; --i) times.push_back(absl::Microseconds(i));
  const RoundTrips trips = Summarize(64, times);
  EXPECT_EQ(trips.rounds, 1000U);
  EXPECT_EQ(trips.median, absl::Microseconds(501));
  EXPECT_EQ(trips.p99, absl::Microseconds(991));
  EXPECT_EQ(trips.longest, absl::Microseconds(1000));
  EXPECT_EQ(Summarize(64, {}).median, absl::ZeroDuration());
}

TEST(BenchResultTest, RatesAreOverTheTimeThatItTook) {
  const Streaming stream{.slot_bytes = 1000, .slots = 500, .duration = absl::Milliseconds(250)};
  EXPECT_DOUBLE_EQ(stream.slots_per_second(), 2000);
  EXPECT_DOUBLE_EQ(stream.bytes_per_second(), 2e6);
  EXPECT_EQ(Streaming{}.slots_per_second(), 0);
}

TEST(BenchResultTest, EachMeasurementIsARowAndAnObject) {
  const BenchResult result{.round_trips = {Summarize(64, {absl::Microseconds(2)})},
                           .streaming = {{.slot_bytes = 4096, .slots = 10, .duration = absl::Seconds(1)}}};
  const std::vector<std::string> lines = TableOf(result).Lines();
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_NE(lines[1].find("2.00 us"), std::string::npos);
  EXPECT_NE(lines[2].find("41.0 KB/s"), std::string::npos);
  const auto objects = ObjectsOf(result);
  ASSERT_EQ(objects.size(), 2U);
  EXPECT_EQ(
      objects[0].dump(),
      R"({"measure":"round_trip","slot_bytes":64,"rounds":1,"median_ns":2000,"p99_ns":2000,"longest_ns":2000})");
  EXPECT_EQ(objects[1]["bytes_per_second"], 40960.0);
}

}  // namespace
}  // namespace pylabhub::cli
