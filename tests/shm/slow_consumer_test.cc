// What a lossless producer does about a consumer that holds it up.
#include <gmock/gmock.h>

#include <memory>
#include <string>

#include "tests/shm/block_fixture.h"

namespace pylabhub::shm {
namespace {

constexpr absl::Duration kShort = absl::Milliseconds(30);

class SlowConsumerTest : public BlockFixture, public ::testing::WithParamInterface<uint64_t> {
 protected:
  ChannelConfig Lossless() const {
    ChannelConfig config = Config(Policy::kSyncReader, GetParam());
    config.max_pins = 8;
    return config;
  }
};

TEST_P(SlowConsumerTest, OneThatBlocksIsWaitedForUntilTheProducersDeadline) {
  auto producer = Create(Lossless());
  auto consumer = Open();
  PutNumbers(*producer, 0, 4);
  EXPECT_EQ(Put(*producer, "4", 3 * kShort), SlotResult::kTimeout);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(Get(*consumer), std::to_string(i));
  const ProducerStats stats = producer->Stats();
  EXPECT_EQ(stats.dropped_backlogs + stats.cut_off_consumers + stats.evicted_consumers, 0u);
  EXPECT_GE(stats.blocked, 3 * kShort);
}

TEST_P(SlowConsumerTest, ABacklogIsDroppedAfterItsPatienceAndItsConsumerIsToldAndGoesOn) {
  auto producer = Create(Lossless());
  auto slow = Open({.when_slow = WhenSlow::kDropBacklog, .patience = kShort});
  auto patient = Open();
  PutNumbers(*producer, 0, 4);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(Get(*patient), std::to_string(i));
  PutNumbers(*producer, 4, 8);
  EXPECT_EQ(producer->Stats().dropped_backlogs, 1u);
  for (int i = 4; i < 8; ++i) EXPECT_EQ(Get(*patient), std::to_string(i));

  ReadSlot slot = slow->Acquire(kPatience);
  ASSERT_TRUE(slot) << NameOf(slot.result());
  EXPECT_GE(slot.sequence(), 4u);
  EXPECT_EQ(slot.missed_slots(), slot.sequence());
  EXPECT_EQ(Text(slot), std::to_string(slot.sequence()));
  slot.Release();
  EXPECT_EQ(slow->Stats().missed_slots, slow->Stats().received_slots == 0 ? 0 : slot.sequence());
  // It is waited for again.
  while (Get(*slow, absl::ZeroDuration()) != "timeout") {
  }
  PutNumbers(*producer, 8, 9);
  EXPECT_EQ(Get(*slow), "8");
}

TEST_P(SlowConsumerTest, OneThatIsCutOffIsToldSoAndGetsNothingMore) {
  auto producer = Create(Lossless());
  auto slow = Open({.when_slow = WhenSlow::kCutOff, .patience = kShort});
  PutNumbers(*producer, 0, 4);
  PutNumbers(*producer, 4, 20);
  EXPECT_EQ(producer->Stats().cut_off_consumers, 1u);
  EXPECT_EQ(Get(*slow), "cut off");
  EXPECT_EQ(Get(*slow), "cut off");
  PutNumbers(*producer, 20, 21);
  EXPECT_EQ(Get(*slow, absl::ZeroDuration()), "cut off");
  // Its place is free again when it has gone.
  slow = nullptr;
  auto fresh = Open();
  PutNumbers(*producer, 21, 22);
  EXPECT_EQ(Get(*fresh), "21");
}

TEST_P(SlowConsumerTest, ASlotThatASlowConsumerHoldsNeverChanges) {
  for (const WhenSlow how : {WhenSlow::kDropBacklog, WhenSlow::kCutOff}) {
    auto producer = Create(Lossless());
    auto slow = Open({.when_slow = how, .patience = kShort});
    PutNumbers(*producer, 0, 4);
    ReadSlot held = slow->Acquire(kPatience);
    ASSERT_TRUE(held);
    PutNumbers(*producer, 4, 40);
    EXPECT_EQ(Text(held), "0");
    EXPECT_EQ(held.Release(), SlotResult::kOk);
  }
}

TEST_P(SlowConsumerTest, OneThatReadsOnWithinItsPatienceIsNeverDropped) {
  auto producer = Create(Lossless());
  auto consumer = Open({.when_slow = WhenSlow::kDropBacklog, .patience = absl::Minutes(1)});
  PutNumbers(*producer, 0, 4);
  for (int i = 4; i < 200; ++i) {
    EXPECT_EQ(Put(*producer, "x", absl::ZeroDuration()), SlotResult::kTimeout);
    EXPECT_EQ(Get(*consumer), std::to_string(i - 4));
    PutNumbers(*producer, i, i + 1);
  }
  EXPECT_EQ(consumer->Stats().missed_slots, 0u);
  EXPECT_EQ(producer->Stats().dropped_backlogs, 0u);
}

TEST_P(SlowConsumerTest, TheChannelsPatienceBoundsThatOfEveryConsumer) {
  ChannelConfig config = Lossless();
  config.max_patience = kShort;
  auto producer = Create(config);
  auto blocks = Open();
  auto patient = Open({.when_slow = WhenSlow::kCutOff, .patience = absl::Hours(1)});
  PutNumbers(*producer, 0, 20);
  EXPECT_GE(producer->Stats().dropped_backlogs, 1u);
  EXPECT_EQ(producer->Stats().cut_off_consumers, 1u);
  ReadSlot slot = blocks->Acquire(kPatience);
  ASSERT_TRUE(slot);
  EXPECT_GT(slot.missed_slots(), 0u);
  EXPECT_EQ(Get(*patient), "cut off");
}

INSTANTIATE_TEST_SUITE_P(Sizes, SlowConsumerTest, ::testing::Values(uint64_t{64}, uint64_t{5000}));

}  // namespace
}  // namespace pylabhub::shm
