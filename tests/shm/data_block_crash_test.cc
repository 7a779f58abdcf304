// What happens to the living when a participant is killed or stopped. Children march in step with the test
// through pipes; each makes handles of its own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "shm/channel_directory.h"
#include "shm/data_block_consumer.h"
#include "shm/data_block_producer.h"
#include "tests/support/child_process.h"
#include "tests/support/every_policy.h"
#include "tests/support/shm_folder.h"
#include "tests/support/stamped_slots.h"

namespace pylabhub::shm {
namespace {

using ::pylabhub::testing::ChildProcess;
using ::pylabhub::testing::IsStamped;
using ::pylabhub::testing::PutStamped;
using ::pylabhub::testing::ReadStamped;
using ::pylabhub::testing::Received;

constexpr absl::Duration kPatience = absl::Seconds(20);

struct Shape {
  Policy policy;
  uint64_t slot_bytes;
  uint32_t capacity_slots;
};

std::string ShapeName(const ::testing::TestParamInfo<Shape>& info) {
  const Shape& shape = info.param;
  return std::string(NameOf(shape.policy)) + "_" + std::to_string(shape.slot_bytes) + "_" +
         std::to_string(shape.capacity_slots);
}

class DataBlockCrashTest : public ::testing::TestWithParam<Shape> {
 protected:
  std::unique_ptr<DataBlockProducer> Create(uint32_t min_consumers = 0) const {
    auto producer = DataBlockProducer::Create(
        {.channel = "crash.test",
         .policy = GetParam().policy,
         .buffering = GetParam().capacity_slots == 1 ? Buffering::kSingle : Buffering::kRingBuffer,
         .capacity_slots = GetParam().capacity_slots,
         .slot_bytes = GetParam().slot_bytes,
         .min_consumers = min_consumers,
         .directory = folder_.path()});
    EXPECT_TRUE(producer.ok()) << producer.status();
    return producer.ok() ? *std::move(producer) : nullptr;
  }

  std::unique_ptr<DataBlockConsumer> Open() const {
    auto consumer =
        DataBlockConsumer::Open("crash.test", {.open_timeout = kPatience, .directory = folder_.path()});
    EXPECT_TRUE(consumer.ok()) << consumer.status();
    return consumer.ok() ? *std::move(consumer) : nullptr;
  }

  bool lossless() const { return IsLossless(GetParam().policy); }

  pylabhub::testing::ShmFolder folder_;
};

// Writes until it is killed.
int WriteForEver(DataBlockProducer& producer) {
  while (PutStamped(producer, kPatience) == SlotResult::kOk) {
  }
  return 1;
}

TEST_P(DataBlockCrashTest, SurvivorsReadEveryCommittedSlotAfterTheWriterIsKilledMidWrite) {
  const uint32_t committed = GetParam().capacity_slots;
  ChildProcess writer([&](const ChildProcess::Line& parent) {
    auto producer = Create();
    parent.Signal();
    parent.Await();
    for (uint32_t i = 0; i < committed; ++i) {
      if (PutStamped(*producer, kPatience) != SlotResult::kOk) return 1;
    }
    // With a lossless policy the ring is full, and there is no slot to be killed in.
    WriteSlot half = producer->Acquire(absl::ZeroDuration());
    if (half) std::memset(half.payload().data(), 0xEE, half.payload().size() / 2);
    parent.Signal();
    parent.Await();
    return 1;
  });
  writer.line().Await();
  auto consumer = Open();
  writer.line().Signal();
  writer.line().Await();
  writer.Kill();
  const Received received = ReadStamped(*consumer, kPatience);
  EXPECT_EQ(received.end, SlotResult::kProducerDead);
  EXPECT_EQ(received.wrong, 0u);
  EXPECT_EQ(received.slots + received.missed, committed);
  EXPECT_EQ(received.missed, GetParam().policy == Policy::kLatestOnly ? committed - 1 : 0);
  EXPECT_FALSE(consumer->ProducerIsAlive());
}

TEST_P(DataBlockCrashTest, ANewProducerTakesOverAfterAKillAndItsConsumersFollow) {
  ChildProcess writer([&](const ChildProcess::Line& parent) {
    auto producer = Create();
    parent.Signal();
    parent.Await();
    if (PutStamped(*producer, kPatience) != SlotResult::kOk) return 1;
    parent.Signal();
    parent.Await();
    return 1;
  });
  writer.line().Await();
  auto consumer = Open();
  writer.line().Signal();
  writer.line().Await();
  writer.Kill();
  auto successor = Create();
  ASSERT_NE(successor, nullptr);
  ASSERT_EQ(PutStamped(*successor, kPatience), SlotResult::kOk);
  Received received = ReadStamped(*consumer, kPatience);
  EXPECT_EQ(received.slots, 1u) << "what the dead producer committed";
  EXPECT_EQ(received.end, SlotResult::kProducerDead);
  ASSERT_TRUE(consumer->Follow(kPatience).ok());
  EXPECT_EQ(consumer->segment_id(), successor->segment_id());
  successor.reset();
  received = ReadStamped(*consumer, kPatience);
  EXPECT_EQ(received.slots, 1u) << "what the new one wrote before the consumer came";
  EXPECT_EQ(received.wrong, 0u);
  EXPECT_EQ(received.end, SlotResult::kProducerClosed);
}

// Where several consumers read, each for itself: of a group see PipelineTest.
using DataBlockConsumerCrashTest = DataBlockCrashTest;

// Faults 6 and 7 of the original: one crashed consumer of several, or one that died holding a slot, blocked
// the writer.
TEST_P(DataBlockConsumerCrashTest, AConsumerKilledWhileItHoldsASlotStopsNobody) {
  auto producer = Create();
  ChildProcess victim([&](const ChildProcess::Line& parent) {
    auto consumer = Open();
    parent.Signal();
    ReadSlot held = consumer->Acquire(kPatience);
    parent.Signal(held ? 'h' : 'x');
    parent.Await();
    return 1;
  });
  victim.line().Await();
  ChildProcess reader([&](const ChildProcess::Line& parent) {
    auto consumer = Open();
    parent.Signal();
    const Received received = ReadStamped(*consumer, kPatience);
    const bool whole = received.wrong == 0 && received.slots + received.missed == 1000 &&
                       (!lossless() || received.missed == 0);
    return whole && received.end == SlotResult::kProducerClosed ? 0 : 1;
  });
  reader.line().Await();
  ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  ASSERT_EQ(victim.line().Await(), 'h');
  victim.Kill();
  const absl::Time killed = absl::Now();
  for (int i = 1; i < 1000; ++i) ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  RecordProperty("milliseconds_for_999_slots",
                 static_cast<int>(absl::ToInt64Milliseconds(absl::Now() - killed)));
  if (lossless()) {
    EXPECT_EQ(producer->Stats().evicted_consumers, 1u);
  }
  producer.reset();
  EXPECT_EQ(reader.Wait(), 0);
}

TEST_P(DataBlockCrashTest, APausedConsumerIsAliveAndALosslessProducerWaitsForIt) {
  if (!lossless()) GTEST_SKIP() << "an overwriting producer waits for nobody";
  auto producer = Create();
  ChildProcess paused([&](const ChildProcess::Line& parent) {
    auto consumer = Open();
    parent.Signal();
    parent.Await();
    const Received received = ReadStamped(*consumer, kPatience);
    return received.wrong == 0 && received.missed == 0 && received.slots == GetParam().capacity_slots + 1 ? 0
                                                                                                          : 1;
  });
  paused.line().Await();
  paused.Stop();
  for (uint32_t i = 0; i < GetParam().capacity_slots; ++i) {
    ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  }
  // Longer than several looks at the peer.
  EXPECT_EQ(PutStamped(*producer, absl::Milliseconds(50)), SlotResult::kTimeout);
  EXPECT_EQ(producer->Stats().evicted_consumers, 0u);
  paused.Continue();
  paused.line().Signal();
  ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  producer.reset();
  EXPECT_EQ(paused.Wait(), 0);
}

TEST_P(DataBlockCrashTest, WhatAKilledChannelLeavesBehindIsRemovedByTheNext) {
  for (int i = 0; i < 3; ++i) {
    ChildProcess everybody([&](const ChildProcess::Line& parent) {
      auto producer = Create();
      auto consumer = Open();
      parent.Signal();
      parent.Await();
      return 1;
    });
    everybody.line().Await();
    everybody.Kill();
  }
  auto producer = Create();
  EXPECT_EQ(folder_.Files().size(), 3u);
}

TEST_P(DataBlockCrashTest, NothingIsLostOrTornWhereverTheWriterIsKilled) {
  auto consumer = std::unique_ptr<DataBlockConsumer>();
  uint64_t slots = 0;
  for (int round = 0; round < 25; ++round) {
    ChildProcess writer([&](const ChildProcess::Line& parent) {
      auto producer = Create();
      parent.Signal();
      return WriteForEver(*producer);
    });
    writer.line().Await();
    if (consumer == nullptr) {
      consumer = Open();
    } else {
      ASSERT_TRUE(consumer->Follow(kPatience).ok());
    }
    // A different number of slots each round, so that the kill comes at different steps.
    uint64_t expected = 0;
    for (int i = 0; i < 20 + 7 * round; ++i) {
      ReadSlot slot = consumer->Acquire(kPatience);
      ASSERT_TRUE(slot) << NameOf(slot.result());
      ASSERT_TRUE(IsStamped(slot.payload(), slot.sequence())) << "torn";
      if (i > 0) {
        ASSERT_EQ(slot.sequence(), expected + slot.missed_slots());
        ASSERT_TRUE(!lossless() || slot.missed_slots() == 0);
      }
      expected = slot.sequence() + 1;
    }
    writer.Kill();
    const Received rest = ReadStamped(*consumer, kPatience);
    EXPECT_EQ(rest.end, SlotResult::kProducerDead);
    EXPECT_EQ(rest.wrong, 0u);
    EXPECT_TRUE(!lossless() || rest.missed == 0);
    slots += rest.slots;
  }
  RecordProperty("slots_after_kills", static_cast<int>(slots));
}

// Two pins; one is left behind by a dead consumer, two are held by living ones, who counted the living only.
TEST(DataBlockPinTest, ThePinsOfTheDeadDoNotUseUpTheRoomOfTheLiving) {
  pylabhub::testing::ShmFolder folder;
  const auto open = [&](ReadOrder order) {
    return *DataBlockConsumer::Open("pin.test", {.order = order, .directory = folder.path()});
  };
  auto producer = *DataBlockProducer::Create(
      {.channel = "pin.test", .slot_bytes = 8192, .max_pins = 2, .directory = folder.path()});
  auto place_0 = open(ReadOrder::kNext);
  ChildProcess dead([&](const ChildProcess::Line& parent) {
    auto consumer = open(ReadOrder::kLatest);
    parent.Signal();
    ReadSlot held = consumer->Acquire(kPatience);
    parent.Signal();
    parent.Await();
    return 1;
  });
  dead.line().Await();
  auto living = open(ReadOrder::kLatest);
  ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  dead.line().Await();
  dead.Kill();
  place_0.reset();
  auto before_the_dead = open(ReadOrder::kLatest);
  ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  ReadSlot second = living->Acquire(kPatience);
  ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  ReadSlot first = before_the_dead->Acquire(kPatience);
  ASSERT_TRUE(first && second);
  for (int i = 0; i < 200; ++i) ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  EXPECT_TRUE(IsStamped(first.payload(), first.sequence()));
  EXPECT_TRUE(IsStamped(second.payload(), second.sequence()));
  EXPECT_EQ(first.Release(), SlotResult::kOk);
  EXPECT_EQ(second.Release(), SlotResult::kOk);
}

std::vector<Shape> ShapesOf(std::span<const Policy> policies) {
  std::vector<Shape> shapes;
  for (const Policy policy : policies) {
    for (const uint64_t slot_bytes : {64, 8192}) {
      if (IsLossless(policy)) shapes.push_back({policy, slot_bytes, 1});
      shapes.push_back({policy, slot_bytes, policy == Policy::kLatestOnly ? 2u : 8u});
    }
  }
  return shapes;
}
constexpr Policy kManyReadForThemselves[] = {Policy::kLatestOnly, Policy::kPublishSubscribe,
                                             Policy::kSyncReader};

INSTANTIATE_TEST_SUITE_P(Shapes, DataBlockCrashTest,
                         ::testing::ValuesIn(ShapesOf(pylabhub::testing::kEveryPolicy)), ShapeName);
INSTANTIATE_TEST_SUITE_P(Shapes, DataBlockConsumerCrashTest,
                         ::testing::ValuesIn(ShapesOf(kManyReadForThemselves)), ShapeName);

}  // namespace
}  // namespace pylabhub::shm
