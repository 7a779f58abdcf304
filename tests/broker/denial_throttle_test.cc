#include "broker/denial_throttle.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace pylabhub::broker {
namespace {

TEST(DenialThrottleTest, TheFirstIsWorthALineAndThenOneASecondWithTheNumberOfTheOthers) {
  DenialThrottle throttle;
  const absl::Time start = absl::FromUnixSeconds(1'000);
  EXPECT_EQ(throttle.Take("alice", start), 0u);
  EXPECT_EQ(throttle.Take("alice", start), std::nullopt);
  EXPECT_EQ(throttle.Take("alice", start + absl::Seconds(1) - absl::Nanoseconds(1)), std::nullopt);
  EXPECT_EQ(throttle.Take("bob", start), 0u);
  EXPECT_EQ(throttle.Take("alice", start + absl::Seconds(1)), 2u);
  EXPECT_EQ(throttle.Take("alice", start + absl::Seconds(2)), 0u);
}

TEST(DenialThrottleTest, ManyIdentitiesDoNotMakeItGrowAndOneMoreLineIsTheCost) {
  DenialThrottle throttle;
  const absl::Time now = absl::FromUnixSeconds(1'000);
  for (int i = 0; i < 10'000; ++i) EXPECT_EQ(throttle.Take(absl::StrCat(i), now), 0u);
  EXPECT_EQ(throttle.Take("9999", now), std::nullopt);
}

}  // namespace
}  // namespace pylabhub::broker
