#include "client/cli/rates.h"

#include <gtest/gtest.h>

namespace pylabhub::cli {
namespace {

Sample At(absl::Duration clock, uint64_t slots, uint64_t bytes) {
  Sample sample{.clock = clock};
  sample.metrics.segment_id.bytes = {1};
  sample.metrics.producer.committed_slots = slots;
  sample.metrics.producer.committed_bytes = bytes;
  return sample;
}

shm::ConsumerMetrics Consumer(uint32_t place, int64_t pid, uint64_t received, uint64_t missed) {
  return {.place = place, .alive = true, .pid = pid, .received_slots = received, .missed_slots = missed};
}

TEST(RatesTest, GrowthIsDividedByTheTimeBetweenTheLooks) {
  const Rates rates = RatesBetween(At(absl::Seconds(10), 100, 1000), At(absl::Seconds(12), 150, 21'000));
  EXPECT_EQ(rates.interval, absl::Seconds(2));
  EXPECT_DOUBLE_EQ(rates.slots_per_second, 25);
  EXPECT_DOUBLE_EQ(rates.bytes_per_second, 10'000);
  EXPECT_FALSE(rates.is_new_segment);
}

TEST(RatesTest, ASegmentThatReplacedTheOldOneIsCountedFromZero) {
  const Sample before = At(absl::ZeroDuration(), 1'000'000, 1);
  Sample after = At(absl::Seconds(1), 1'000'010, 1);
  after.metrics.segment_id.bytes = {2};
  const Rates rates = RatesBetween(before, after);
  EXPECT_TRUE(rates.is_new_segment);
  EXPECT_DOUBLE_EQ(rates.slots_per_second, 1'000'010);
}

TEST(RatesTest, ACounterThatBecameSmallerIsCountedFromZero) {
  const Rates rates = RatesBetween(At(absl::ZeroDuration(), 500, 0), At(absl::Seconds(1), 20, 0));
  EXPECT_DOUBLE_EQ(rates.slots_per_second, 20);
}

TEST(RatesTest, TwoLooksAtOneMomentHaveNoRate) {
  const Rates rates = RatesBetween(At(absl::Seconds(1), 0, 0), At(absl::Seconds(1), 5, 5));
  EXPECT_EQ(rates.slots_per_second, 0);
  EXPECT_EQ(rates.blocked_fraction, 0);
}

TEST(RatesTest, AConsumerIsKnownByItsPlaceAndItsProcess) {
  Sample before = At(absl::ZeroDuration(), 0, 0);
  before.metrics.consumers = {Consumer(0, 11, 100, 10), Consumer(1, 12, 900, 0)};
  Sample after = At(absl::Seconds(2), 0, 0);
  after.metrics.consumers = {Consumer(0, 11, 110, 14), Consumer(1, 99, 30, 6)};
  const Rates rates = RatesBetween(before, after);
  ASSERT_EQ(rates.consumers.size(), 2U);
  EXPECT_DOUBLE_EQ(rates.consumers[0].received_slots_per_second, 5);
  EXPECT_DOUBLE_EQ(rates.consumers[0].missed_slots_per_second, 2);
  EXPECT_DOUBLE_EQ(rates.consumers[1].received_slots_per_second, 15);
  EXPECT_DOUBLE_EQ(rates.missed_slots_per_second, 5);
}

TEST(RatesTest, TheTimeThatTheProducerWaitedIsAFractionOfAtMostOne) {
  Sample before = At(absl::ZeroDuration(), 0, 0);
  Sample after = At(absl::Seconds(1), 0, 0);
  before.metrics.producer.blocked = absl::Milliseconds(500);
  after.metrics.producer.blocked = absl::Milliseconds(750);
  EXPECT_DOUBLE_EQ(RatesBetween(before, after).blocked_fraction, 0.25);
  after.metrics.producer.blocked = absl::Seconds(9);
  EXPECT_DOUBLE_EQ(RatesBetween(before, after).blocked_fraction, 1);
}

TEST(RatesTest, TheLagIsThatOfTheSlowestConsumerAlive) {
  shm::ChannelMetrics metrics;
  metrics.consumers = {Consumer(0, 1, 0, 3), Consumer(1, 2, 0, 4), Consumer(2, 3, 0, 0)};
  metrics.consumers[0].lag = 5;
  metrics.consumers[1].lag = 7;
  metrics.consumers[2].lag = 99;
  metrics.consumers[2].alive = false;
  EXPECT_EQ(LargestLag(metrics), 7U);
  EXPECT_EQ(CountAlive(metrics), 2U);
  EXPECT_EQ(MissedSlots(metrics), 7U);
}

}  // namespace
}  // namespace pylabhub::cli
