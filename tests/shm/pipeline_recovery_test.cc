// Groups of consumers that share the work: what becomes of it when somebody is killed, stopped, or leaves.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "shm/data_block_consumer.h"
#include "shm/data_block_producer.h"
#include "tests/shm/pipeline_fixture.h"
#include "tests/support/child_process.h"
#include "tests/support/seed.h"
#include "tests/support/stamped_slots.h"

namespace pylabhub::shm {
namespace {

using ::pylabhub::testing::ChildProcess;
using ::pylabhub::testing::IsStamped;
using ::pylabhub::testing::PutStamped;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST_P(PipelineTest, WhatAKilledMemberHeldGoesToAnotherAndIsMarked) {
  LeaveSlotsUnread();
  auto producer = Create();
  ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  auto victim = Holder();
  victim->line().Await();
  auto survivor = Open();
  for (int i = 1; i < 4; ++i) ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  for (uint64_t i = 1; i < 4; ++i) {
    ReadSlot slot = survivor->Acquire(kPatience);
    ASSERT_EQ(slot.sequence(), i);
    ASSERT_FALSE(slot.redelivered());
  }
  EXPECT_EQ(survivor->Acquire(kShort).result(), SlotResult::kTimeout) << "its holder lives";
  EXPECT_EQ(PutStamped(*producer, kShort), SlotResult::kTimeout) << "its holder lives";
  victim->Kill();
  {
    ReadSlot slot = survivor->Acquire(kPatience);
    ASSERT_TRUE(slot);
    EXPECT_EQ(slot.sequence(), 0u);
    EXPECT_TRUE(slot.redelivered());
    EXPECT_TRUE(IsStamped(slot.payload(), 0));
  }
  EXPECT_EQ(survivor->Stats().redelivered_slots, 1u);
  EXPECT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
}

TEST_P(PipelineTest, AStoppedMemberKeepsItsSlot) {
  auto producer = Create();
  ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  auto stopped = Holder();
  stopped->line().Await();
  stopped->Stop();
  auto member = Open();
  for (int i = 1; i < 4; ++i) ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  for (uint64_t i = 1; i < 4; ++i) ASSERT_EQ(member->Acquire(kPatience).sequence(), i);
  EXPECT_EQ(member->Acquire(kShort).result(), SlotResult::kTimeout);
  EXPECT_EQ(PutStamped(*producer, kShort), SlotResult::kTimeout);
  stopped->Continue();
  stopped->line().Signal();
  EXPECT_EQ(stopped->Wait(), 0);
  EXPECT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  EXPECT_EQ(member->Acquire(kPatience).sequence(), 4u);
}

TEST_P(PipelineTest, WhenEveryMemberIsKilledNewOnesGoOnWithWhatTheyHeld) {
  LeaveSlotsUnread();
  auto producer = Create();
  for (int i = 0; i < 4; ++i) ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  auto first = Holder(2);
  first->line().Await();
  auto second = Holder();
  second->line().Await();
  first->Kill();
  second->Kill();
  EXPECT_EQ(PutStamped(*producer, kShort), SlotResult::kTimeout) << "what the dead held is not lost";
  // Two, so that only one of them can have taken the first dead member's place.
  auto one = Open();
  auto other = Open();
  std::map<uint64_t, bool> had;
  for (int i = 0; i < 4; ++i) {
    ReadSlot slot = (i % 2 == 0 ? one : other)->Acquire(kPatience);
    ASSERT_TRUE(slot);
    EXPECT_TRUE(had.emplace(slot.sequence(), slot.redelivered()).second);
  }
  EXPECT_EQ(had, (std::map<uint64_t, bool>{{0, true}, {1, true}, {2, true}, {3, false}}));
  EXPECT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
}

TEST_P(PipelineTest, WhatAnEarlierProducerLeftIsReadThoughTheSegmentOfALaterOneIsGone) {
  auto producer = Create();
  for (int i = 0; i < 3; ++i) ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  producer.reset();
  // One that wrote nothing, so that its segment goes with it.
  Create().reset();
  auto member = Open();
  ASSERT_NE(member, nullptr);
  SlotResult end = SlotResult::kOk;
  EXPECT_THAT(Drain(*member, &end), ElementsAre(0u, 1u, 2u));
  EXPECT_EQ(end, SlotResult::kProducerClosed);
}

TEST_P(PipelineTest, AfterTheProducerIsKilledMembersDrainWhatTheDeadHeldTooAndThenFollow) {
  ChildProcess writer([&](const ChildProcess::Line& test) {
    auto producer = Create();
    for (int i = 0; i < 4; ++i) {
      if (PutStamped(*producer, kPatience) != SlotResult::kOk) return 1;
    }
    test.Signal();
    test.Await();
    return 1;
  });
  writer.line().Await();
  auto victim = Holder(2);
  victim->line().Await();
  auto survivor = Open();
  writer.Kill();
  auto successor = Create();
  ASSERT_EQ(PutStamped(*successor, kPatience), SlotResult::kOk);
  EXPECT_EQ(survivor->Acquire(kPatience).sequence(), 2u);
  EXPECT_EQ(survivor->Acquire(kPatience).sequence(), 3u);
  EXPECT_EQ(survivor->Acquire(kShort).result(), SlotResult::kTimeout) << "the holder of the others lives";
  victim->Kill();
  SlotResult end;
  std::vector<uint64_t> again;
  EXPECT_THAT(Drain(*survivor, &end, &again), ElementsAre(0, 1));
  EXPECT_THAT(again, ElementsAre(0, 1));
  EXPECT_EQ(end, SlotResult::kProducerDead);
  ASSERT_TRUE(survivor->Follow(kPatience).ok());
  EXPECT_EQ(survivor->segment_id(), successor->segment_id());
  EXPECT_EQ(survivor->Acquire(kPatience).sequence(), 0u);
}

TEST_P(PipelineTest, ASegmentIsKeptUntilItsGroupsHaveDrainedItAndNewMembersGoThereFirst) {
  ChannelConfig config = Config();
  config.groups = {"a", "b"};
  std::vector<SegmentId> segments;
  for (int round = 0; round < 3; ++round) {
    auto producer = Create(config);
    segments.push_back(producer->segment_id());
    // The second one writes nothing, and nothing of it is kept.
    for (int i = 0; i < 2 && round != 1; ++i) ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  }
  auto current = Create(config);
  ASSERT_EQ(PutStamped(*current, kPatience), SlotResult::kOk);
  EXPECT_THAT(folder_.Files(), ::testing::SizeIs(1 + 3 * 2));
  for (const std::string group : {"a", "b"}) {
    auto member = Open({.group = group});
    SlotResult end;
    EXPECT_EQ(member->segment_id(), segments[0]);
    EXPECT_THAT(Drain(*member, &end), ElementsAre(0, 1));
    EXPECT_EQ(end, SlotResult::kProducerClosed);
    ASSERT_TRUE(member->Follow(kPatience).ok());
    EXPECT_EQ(member->segment_id(), segments[2]);
    EXPECT_THAT(Drain(*member, &end), ElementsAre(0, 1));
    ASSERT_TRUE(member->Follow(kPatience).ok());
    EXPECT_EQ(member->segment_id(), current->segment_id());
    EXPECT_EQ(member->Acquire(kPatience).sequence(), 0u);
  }
  EXPECT_THAT(folder_.Files(), ::testing::SizeIs(1 + 2)) << "the drained ones are gone";
}

TEST_P(PipelineTest, AMemberThatLeavesLeavesTheRestToTheNextOne) {
  auto producer = Create();
  for (int i = 0; i < 3; ++i) ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  EXPECT_EQ(Open()->Acquire(kPatience).sequence(), 0u);
  producer.reset();
  EXPECT_EQ(Open()->Acquire(kPatience).sequence(), 1u);
  EXPECT_FALSE(folder_.Files().empty());
  SlotResult end;
  EXPECT_THAT(Drain(*Open(), &end), ElementsAre(2));
  EXPECT_EQ(end, SlotResult::kProducerClosed);
  EXPECT_TRUE(folder_.Files().empty());
}

TEST_P(PipelineTest, AfterEightUndrainedSegmentsNoProducerBeginsBeforeSomebodyReads) {
  LeaveSlotsUnread();
  for (int round = 0; round < 8; ++round)
    ASSERT_EQ(PutStamped(*Create(), absl::ZeroDuration()), SlotResult::kOk);
  const absl::Status refused = DataBlockProducer::Create(Config()).status();
  ASSERT_TRUE(absl::IsResourceExhausted(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("pylabhub doctor --clean pipeline.test"));
  auto member = Open();
  SlotResult end;
  EXPECT_THAT(Drain(*member, &end), ElementsAre(0));
  EXPECT_EQ(member->Follow(kPatience), absl::OkStatus());
  auto producer = Create();
  EXPECT_NE(producer, nullptr);
}

TEST_P(PipelineTest, NothingIsLostOrHadTwiceUnmarkedWhileMembersAreKilledAtRandom) {
  constexpr uint64_t kSlots = 6'000;
  Tally tally(kSlots);
  std::mt19937_64 random(pylabhub::testing::Seed());
  auto producer = Create();
  const auto start = [&] {
    auto worker = std::make_unique<ChildProcess>([&](const ChildProcess::Line& test) {
      auto consumer = Open();
      test.Signal();
      return Work(*consumer, tally) == SlotResult::kProducerClosed ? 0 : 1;
    });
    worker->line().Await();
    return worker;
  };
  std::vector<std::unique_ptr<ChildProcess>> workers;
  for (int i = 0; i < 3; ++i) workers.push_back(start());
  int kills = 0;
  for (uint64_t i = 0; i < kSlots; ++i) {
    ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk) << "slot " << i;
    if (random() % 150 != 0) continue;
    auto& worker = workers[random() % workers.size()];
    worker->Kill();
    worker = start();
    ++kills;
  }
  EXPECT_EQ(producer->Stats().invalid_peer_values, 0u);
  producer.reset();
  for (auto& worker : workers) EXPECT_EQ(worker->Wait(), 0);
  uint64_t redelivered = 0;
  for (uint64_t slot = 0; slot < kSlots; ++slot) {
    redelivered += tally.redelivered(slot);
    // A member can be killed between the claim and the count.
    ASSERT_GE(tally.had(slot), 1u) << "slot " << slot << " was lost";
    ASSERT_LE(tally.had(slot), 1 + tally.redelivered(slot)) << "slot " << slot;
  }
  EXPECT_GT(kills, 10);
  RecordProperty("kills", kills);
  RecordProperty("redelivered", static_cast<int>(redelivered));
}

INSTANTIATE_TEST_SUITE_P(SlotBytes, PipelineTest, ::testing::Values(uint64_t{64}, uint64_t{8192}),
                         [](const auto& info) { return std::to_string(info.param); });

}  // namespace
}  // namespace pylabhub::shm
