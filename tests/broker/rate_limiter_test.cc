#include "broker/rate_limiter.h"

#include <gtest/gtest.h>

#include <string>

namespace pylabhub::broker {
namespace {

const absl::Time kStart = absl::FromUnixSeconds(1'000'000);

TEST(RateLimiterTest, ABurstGoesThroughAndWhatComesNextIsToldHowLongToWait) {
  RateLimiter limiter(/*calls_per_second=*/10, /*burst_calls=*/3);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(limiter.Take("a", kStart), absl::ZeroDuration());
  EXPECT_EQ(limiter.Take("a", kStart), absl::Milliseconds(100));
  EXPECT_EQ(limiter.Take("a", kStart + absl::Milliseconds(75)), absl::Milliseconds(25));
  // Told to wait so long, and let through then.
  EXPECT_EQ(limiter.Take("a", kStart + absl::Milliseconds(100)), absl::ZeroDuration());
  EXPECT_EQ(limiter.Take("a", kStart + absl::Milliseconds(100)), absl::Milliseconds(100));
}

TEST(RateLimiterTest, AGreedyIdentityGetsItsRateAndAnotherGetsAllItAsksFor) {
  RateLimiter limiter(/*calls_per_second=*/100, /*burst_calls=*/10);
  int greedy_calls = 0;
  int modest_calls = 0;
  // Ten seconds: one asks every millisecond, the other fifty times a second.
  for (int ms = 0; ms < 10'000; ++ms) {
    const absl::Time now = kStart + absl::Milliseconds(ms);
    greedy_calls += limiter.Take("greedy", now) == absl::ZeroDuration() ? 1 : 0;
    if (ms % 20 == 0) modest_calls += limiter.Take("modest", now) == absl::ZeroDuration() ? 1 : 0;
  }
  EXPECT_NEAR(greedy_calls, 1010, 2);
  EXPECT_EQ(modest_calls, 500);
}

TEST(RateLimiterTest, ZeroStandsForNoLimit) {
  RateLimiter limiter(0, 1);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(limiter.Take("a", kStart), absl::ZeroDuration());
}

TEST(RateLimiterTest, TimeThatIsALittleEarlierTakesNoTokensAway) {
  RateLimiter limiter(10, 1);
  EXPECT_EQ(limiter.Take("a", kStart), absl::ZeroDuration());
  EXPECT_EQ(limiter.Take("a", kStart - absl::Milliseconds(1)), absl::Milliseconds(100));
  EXPECT_EQ(limiter.Take("a", kStart + absl::Milliseconds(100)), absl::ZeroDuration());
}

TEST(RateLimiterTest, IdentitiesThatAreQuietAreForgotten) {
  RateLimiter limiter(10, 1);
  for (int i = 0; i < 10'000; ++i) {
    limiter.Take("identity-" + std::to_string(i), kStart + absl::Milliseconds(i));
  }
  EXPECT_LE(limiter.remembered(), 2048u);
}

}  // namespace
}  // namespace pylabhub::broker
