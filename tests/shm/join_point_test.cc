// Where a consumer begins.
#include <gmock/gmock.h>

#include <atomic>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "tests/shm/block_fixture.h"
#include "tests/support/every_policy.h"
#include "tests/support/stamped_slots.h"

namespace pylabhub::shm {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kSmall = 64;
constexpr uint64_t kLarge = 5000;

using JoinPointTest = BlockFixture;

TEST_F(JoinPointTest, TheNewestIsTheNextSlotThatIsCommitted) {
  auto producer = Create(Config(Policy::kSyncReader));
  PutNumbers(*producer, 0, 3);
  auto consumer = Open();
  PutNumbers(*producer, 3, 4);
  EXPECT_EQ(Get(*consumer), "3");
}

TEST_F(JoinPointTest, TheOldestIsWhatAnOverwritingChannelStillHas) {
  for (const uint64_t slot_bytes : {kSmall, kLarge}) {
    auto producer = Create(Config(Policy::kPublishSubscribe, slot_bytes));
    PutNumbers(*producer, 0, 10);
    auto consumer = Open({.start = JoinPoint::Oldest()});
    for (const char* text : {"6", "7", "8", "9"}) EXPECT_EQ(Get(*consumer), text);
    EXPECT_EQ(Get(*consumer, absl::ZeroDuration()), "timeout");
    EXPECT_EQ(consumer->Stats().missed_slots, 0u);
  }
}

TEST_F(JoinPointTest, TheOldestOfALosslessChannelIsKeptForWhoJoinsThere) {
  auto producer = Create(Config(Policy::kSyncReader));
  PutNumbers(*producer, 0, 6);
  auto consumer = Open({.start = JoinPoint::Oldest()});
  EXPECT_EQ(Get(*consumer), "2");
  // The producer has heard of it by now.
  EXPECT_EQ(Put(*producer, "6"), SlotResult::kOk);
  EXPECT_EQ(Put(*producer, "7", absl::ZeroDuration()), SlotResult::kTimeout);
  for (const char* text : {"3", "4", "5", "6"}) EXPECT_EQ(Get(*consumer), text);
  EXPECT_EQ(Put(*producer, "7"), SlotResult::kOk);
}

TEST_F(JoinPointTest, OfLargeSlotsThatEverybodyHasReadTheNewestIsStillThere) {
  auto producer = Create(Config(Policy::kSyncReader, kLarge));
  // So many that every chunk is used again.
  constexpr int kSlots = 40;
  PutNumbers(*producer, 0, kSlots);
  auto consumer = Open({.start = JoinPoint::Oldest()});
  int next = std::stoi(Get(*consumer));
  EXPECT_GE(next, kSlots - 4);
  ASSERT_LT(next, kSlots);
  PutNumbers(*producer, kSlots, kSlots + 1);
  while (++next <= kSlots) EXPECT_EQ(Get(*consumer), std::to_string(next));
}

TEST_F(JoinPointTest, ASequenceIsResumedAndWhatIsGoneIsTold) {
  for (const Policy policy : pylabhub::testing::kEveryPolicy) {
    if (policy == Policy::kPipeline) continue;  // its groups remember where they are
    auto producer = Create(Config(policy));
    PutNumbers(*producer, 0, 10);
    EXPECT_EQ(Get(*Open({.order = ReadOrder::kNext, .start = JoinPoint::Sequence(8)})), "8");
    auto late = Open({.order = ReadOrder::kNext, .start = JoinPoint::Sequence(1)});
    ReadSlot slot = late->Acquire(kPatience);
    ASSERT_TRUE(slot);
    EXPECT_EQ(slot.sequence(), 6u);
    EXPECT_EQ(slot.missed_slots(), 5u);
  }
}

TEST_F(JoinPointTest, ASequenceThatIsYetToComeIsRefusedAndTheNextIsNot) {
  auto producer = Create(Config(Policy::kSyncReader));
  PutNumbers(*producer, 0, 2);
  const auto refused = TryOpen({.start = JoinPoint::Sequence(3)});
  EXPECT_TRUE(absl::IsOutOfRange(refused.status())) << refused.status();
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("the next one is 2"));
  auto consumer = Open({.start = JoinPoint::Sequence(2)});
  PutNumbers(*producer, 2, 3);
  EXPECT_EQ(Get(*consumer), "2");
}

TEST_F(JoinPointTest, WhoReadsTheLatestHasNoOtherStart) {
  auto producer = Create(Config(Policy::kSyncReader));
  EXPECT_TRUE(
      absl::IsInvalidArgument(TryOpen({.order = ReadOrder::kLatest, .start = JoinPoint::Oldest()}).status()));
}

// Consumers that join behind head while the producer writes: whatever they get is whole, in order, and without a gap that
// they are not told of; and once they are waited for there is no gap at all.
class JoinUnderLoadTest : public BlockFixture, public ::testing::WithParamInterface<uint64_t> {};

TEST_P(JoinUnderLoadTest, WhatIsReadIsWholeAndNothingIsMissedThatIsNotTold) {
  ChannelConfig config = Config(Policy::kSyncReader, GetParam(), 8);
  config.max_pins = 8;
  auto producer = Create(config);
  std::atomic<bool> stop = false;
  std::thread writer([&] {
    while (!stop.load()) {
      ASSERT_EQ(pylabhub::testing::PutStamped(*producer, kPatience), SlotResult::kOk);
    }
  });
  for (int round = 0; round < 150; ++round) {
    auto consumer = Open({.start = JoinPoint::Oldest()});
    uint64_t missed_late = 0;
    uint64_t next = 0;
    for (int i = 0; i < 60; ++i) {
      ReadSlot slot = consumer->Acquire(kPatience);
      ASSERT_TRUE(slot) << NameOf(slot.result());
      ASSERT_TRUE(pylabhub::testing::IsStamped(slot.payload(), slot.sequence()));
      if (i > 0) {
        ASSERT_EQ(slot.sequence(), next + slot.missed_slots());
      }
      next = slot.sequence() + 1;
      if (i > 40) missed_late += slot.missed_slots();
      ASSERT_EQ(slot.Release(), SlotResult::kOk);
    }
    EXPECT_EQ(missed_late, 0u) << "the producer waits for it by then";
  }
  stop = true;
  writer.join();
}

INSTANTIATE_TEST_SUITE_P(Sizes, JoinUnderLoadTest, ::testing::Values(kSmall, kLarge));

}  // namespace
}  // namespace pylabhub::shm
