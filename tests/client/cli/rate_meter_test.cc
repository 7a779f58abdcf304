#include "client/cli/rate_meter.h"

#include <gtest/gtest.h>

namespace pylabhub::cli {
namespace {

TEST(RateMeterTest, NothingIsTakenBeforeTheIntervalEnds) {
  RateMeter meter(absl::Seconds(1), absl::Seconds(10));
  meter.Add(100, 0);
  EXPECT_FALSE(meter.Take(absl::Seconds(11) - absl::Nanoseconds(1)).has_value());
  EXPECT_EQ(meter.Left(absl::Milliseconds(10'400)), absl::Milliseconds(600));
  EXPECT_EQ(meter.Left(absl::Seconds(12)), absl::ZeroDuration());
}

TEST(RateMeterTest, RatesAreOverTheTimeThatPassed) {
  RateMeter meter(absl::Seconds(1), absl::ZeroDuration());
  meter.Add(100, 0);
  meter.Add(300, 6);
  const std::optional<IntakeRate> rate = meter.Take(absl::Seconds(2));
  ASSERT_TRUE(rate.has_value());
  EXPECT_EQ(rate->interval, absl::Seconds(2));
  EXPECT_EQ(rate->slots, 2U);
  EXPECT_DOUBLE_EQ(rate->slots_per_second, 1);
  EXPECT_DOUBLE_EQ(rate->bytes_per_second, 200);
  EXPECT_DOUBLE_EQ(rate->missed_slots_per_second, 3);
  EXPECT_EQ(meter.Take(absl::Seconds(3))->slots, 0U);
}

}  // namespace
}  // namespace pylabhub::cli
