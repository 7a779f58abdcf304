// Several slots at once: the same slots, in the same order, as one by one.
#include <array>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "tests/shm/block_fixture.h"
#include "tests/support/every_policy.h"
#include "tests/support/stamped_slots.h"

namespace pylabhub::shm {
namespace {

using pylabhub::testing::IsStamped;
using pylabhub::testing::Stamp;

using Shape = std::tuple<Policy, uint64_t>;

class BatchTest : public BlockFixture, public ::testing::WithParamInterface<Shape> {
 protected:
  static Policy policy() { return std::get<0>(GetParam()); }
  static uint64_t slot_bytes() { return std::get<1>(GetParam()); }
  std::unique_ptr<DataBlockProducer> CreateRing(uint32_t capacity_slots = 8) {
    ChannelConfig config = Config(policy(), slot_bytes(), capacity_slots);
    config.max_pins = 32;
    return Create(config);
  }
  std::unique_ptr<DataBlockConsumer> OpenNext(uint32_t max_batch) {
    return Open({.order = ReadOrder::kNext, .max_batch = max_batch});
  }
};

// Stamps slot i of the batch with its sequence number, and commits the first `count`.
SlotResult CommitStamped(DataBlockProducer& producer, WriteBatch& batch, size_t count) {
  std::vector<size_t> payload_bytes;
  for (size_t i = 0; i < count; ++i) {
    Stamp(batch.payload(i), producer.next_sequence() + i);
    payload_bytes.push_back(batch.payload(i).size());
  }
  return batch.Commit(payload_bytes);
}

TEST_P(BatchTest, SlotsThatWereCommittedTogetherAreReadOneByOneInOrder) {
  auto producer = CreateRing();
  auto consumer = OpenNext(1);
  for (int round = 0; round < 5; ++round) {
    {
      WriteBatch batch = producer->AcquireBatch(5, kPatience);
      ASSERT_EQ(batch.size(), 5u);
      ASSERT_EQ(CommitStamped(*producer, batch, 5), SlotResult::kOk);
    }
    for (uint64_t i = 0; i < 5; ++i) {
      ReadSlot slot = consumer->Acquire(kPatience);
      ASSERT_TRUE(slot);
      EXPECT_EQ(slot.sequence(), 5 * static_cast<uint64_t>(round) + i);
      EXPECT_TRUE(IsStamped(slot.payload(), slot.sequence()));
      EXPECT_EQ(slot.missed_slots(), 0u);
    }
  }
}

TEST_P(BatchTest, SlotsThatWereCommittedOneByOneAreReadTogether) {
  auto producer = CreateRing();
  auto consumer = OpenNext(4);
  for (uint64_t i = 0; i < 6; ++i)
    ASSERT_EQ(pylabhub::testing::PutStamped(*producer, kPatience), SlotResult::kOk);
  for (const size_t expected : {4, 2}) {
    ReadBatch batch = consumer->AcquireBatch(100, kPatience);
    ASSERT_EQ(batch.size(), expected) << "as many as there are, but no more than max_batch";
    for (const SlotView& slot : batch) EXPECT_TRUE(IsStamped(slot.payload, slot.sequence));
    EXPECT_EQ(batch.Release(), SlotResult::kOk);
  }
  EXPECT_EQ(consumer->AcquireBatch(100, absl::ZeroDuration()).result(), SlotResult::kTimeout);
  EXPECT_EQ(consumer->Stats().received_slots, 6u);
}

TEST_P(BatchTest, SlotsThatAreNotCommittedUseUpNoNumber) {
  auto producer = CreateRing();
  auto consumer = OpenNext(8);
  for (int round = 0; round < 10; ++round) {
    WriteBatch batch = producer->AcquireBatch(6, kPatience);
    ASSERT_TRUE(batch);
    if (round % 3 == 0) continue;  // aborted, whole
    ASSERT_EQ(CommitStamped(*producer, batch, 2), SlotResult::kOk);
    ReadBatch read = consumer->AcquireBatch(8, kPatience);
    ASSERT_EQ(read.size(), 2u);
    EXPECT_EQ(read[1].sequence, producer->next_sequence() - 1);
    EXPECT_TRUE(IsStamped(read[0].payload, read[0].sequence));
  }
  EXPECT_EQ(producer->next_sequence(), 12u);
  EXPECT_EQ(producer->Stats().aborted_slots, 4u * 6 + 6u * 4);
}

TEST_P(BatchTest, OneSizeThatIsTooLargeAbortsTheBatch) {
  auto producer = CreateRing();
  auto consumer = OpenNext(1);
  WriteBatch batch = producer->AcquireBatch(3, kPatience);
  ASSERT_TRUE(batch);
  const std::array<size_t, 3> payload_bytes = {1, slot_bytes() + 1, 1};
  EXPECT_EQ(batch.Commit(payload_bytes), SlotResult::kTooLarge);
  EXPECT_EQ(producer->next_sequence(), 0u);
  EXPECT_EQ(consumer->Acquire(absl::ZeroDuration()).result(), SlotResult::kTimeout);
}

TEST_P(BatchTest, ManyPassBetweenTwoThreadsWhole) {
  constexpr uint64_t kSlots = 20'000;
  auto producer = CreateRing();
  auto consumer = OpenNext(5);
  std::thread writer([&] {
    for (uint64_t round = 0; producer->next_sequence() < kSlots; ++round) {
      WriteBatch batch = producer->AcquireBatch(1 + round % 8, kPatience);
      ASSERT_TRUE(batch);
      ASSERT_EQ(CommitStamped(*producer, batch, batch.size()), SlotResult::kOk);
    }
    producer.reset();
  });
  uint64_t next = 0;
  uint64_t wrong = 0;
  for (uint64_t round = 0;; ++round) {
    ReadBatch batch = consumer->AcquireBatch(1 + round % 7, kPatience);
    if (!batch) {
      EXPECT_EQ(batch.result(), SlotResult::kProducerClosed);
      break;
    }
    for (const SlotView& slot : batch) {
      if (slot.sequence != next + slot.missed_slots || !IsStamped(slot.payload, slot.sequence)) ++wrong;
      next = slot.sequence + 1;
    }
    ASSERT_EQ(batch.Release(), SlotResult::kOk);
  }
  writer.join();
  EXPECT_EQ(wrong, 0u);
  EXPECT_GE(next, kSlots);
  if (IsLossless(policy())) {
    EXPECT_EQ(consumer->Stats().missed_slots, 0u);
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, BatchTest,
                         ::testing::Combine(::testing::ValuesIn(pylabhub::testing::kEveryPolicy),
                                            ::testing::Values(uint64_t{64}, uint64_t{5000})));

using BatchLimitTest = BlockFixture;

TEST_F(BatchLimitTest, ALosslessBatchIsAsLargeAsThereIsRoom) {
  auto producer = Create(Config(Policy::kSyncReader, 5000, 8));
  auto consumer = Open();
  PutNumbers(*producer, 0, 3);
  WriteBatch batch = producer->AcquireBatch(8, kPatience);
  EXPECT_EQ(batch.size(), 5u);
  batch.Abort();
  EXPECT_EQ(producer->AcquireBatch(100, kPatience).size(), 5u);
  PutNumbers(*producer, 3, 8);
  EXPECT_EQ(producer->AcquireBatch(1, absl::ZeroDuration()).result(), SlotResult::kTimeout);
}

TEST_F(BatchLimitTest, AnOverwritingBatchOfLargeSlotsWithdrawsWhatItWillOverwriteAndReadersGoOn) {
  auto producer = Create(Config(Policy::kPublishSubscribe, 5000, 4));
  auto consumer = Open();
  PutNumbers(*producer, 0, 4);
  // Slots 0 to 2 give their chunks; nothing takes their place, for the batch is aborted.
  producer->AcquireBatch(4, kPatience).Abort();
  ReadSlot slot = consumer->Acquire(kPatience);
  ASSERT_TRUE(slot);
  EXPECT_EQ(slot.sequence(), 3u);
  EXPECT_EQ(slot.missed_slots(), 3u);
}

TEST_F(BatchLimitTest, MoreThanAConsumerMayHoldIsRefusedWhenItOpens) {
  auto producer = Create(Config(Policy::kPublishSubscribe, 5000, 4));
  EXPECT_TRUE(absl::IsInvalidArgument(TryOpen({.max_batch = 17}).status()));
  EXPECT_TRUE(absl::IsResourceExhausted(TryOpen({.max_batch = 16}).status())) << "max_pins is 8";
  EXPECT_TRUE(absl::IsInvalidArgument(TryOpen({.max_batch = 0}).status()));
  EXPECT_TRUE(TryOpen({.max_batch = 8}).ok());
}

}  // namespace
}  // namespace pylabhub::shm
