// Producers that come and go while consumers stay: who keeps a place, what is removed, and what is told.
#include "shm/channel/succession.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <memory>
#include <vector>

#include "shm/data_block_consumer.h"
#include "shm/data_block_producer.h"
#include "tests/support/child_process.h"
#include "tests/support/shm_folder.h"
#include "tests/support/stamped_slots.h"

namespace pylabhub::shm {
namespace {

using ::pylabhub::testing::ChildProcess;
using ::pylabhub::testing::PutStamped;
using ::pylabhub::testing::ReadStamped;
using ::pylabhub::testing::Received;

constexpr absl::Duration kPatience = absl::Seconds(20);

class SuccessionTest : public ::testing::Test {
 protected:
  ChannelConfig Config() const {
    return {.channel = "heirs", .capacity_slots = 4, .slot_bytes = 64, .directory = folder_.path()};
  }
  std::unique_ptr<DataBlockProducer> Create(const ChannelConfig& config) const {
    auto producer = DataBlockProducer::Create(config);
    EXPECT_TRUE(producer.ok()) << producer.status();
    return producer.ok() ? *std::move(producer) : nullptr;
  }
  std::unique_ptr<DataBlockConsumer> Open(const ConsumerOptions& options = {}) const {
    ConsumerOptions here = options;
    here.directory = folder_.path();
    auto consumer = DataBlockConsumer::Open("heirs", here);
    EXPECT_TRUE(consumer.ok()) << consumer.status();
    return consumer.ok() ? *std::move(consumer) : nullptr;
  }
  // A producer that writes `slots` and is gone.
  void LiveShortly(uint64_t slots) const {
    auto producer = Create(Config());
    for (uint64_t i = 0; i < slots; ++i) ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  }
  static void ExpectAll(DataBlockConsumer& consumer, uint64_t slots) {
    const Received received = ReadStamped(consumer, kPatience);
    EXPECT_EQ(received.slots, slots);
    EXPECT_EQ(received.missed, 0u);
    EXPECT_EQ(received.wrong, 0u);
    EXPECT_EQ(received.end, SlotResult::kProducerClosed);
  }

  pylabhub::testing::ShmFolder folder_;
};

TEST_F(SuccessionTest, AnHeirThatMovesOnToASegmentInBetweenKeepsItsPlaceInTheNewest) {
  auto first = Create(Config());
  auto consumer = Open();
  ASSERT_EQ(PutStamped(*first, kPatience), SlotResult::kOk);
  first.reset();
  LiveShortly(2);
  auto third = Create(Config());
  for (int i = 0; i < 4; ++i) ASSERT_EQ(PutStamped(*third, kPatience), SlotResult::kOk);
  ExpectAll(*consumer, 1);
  ASSERT_TRUE(consumer->Follow(kPatience).ok());
  EXPECT_EQ(PutStamped(*third, absl::Milliseconds(50)), SlotResult::kTimeout) << "the place was given up";
  ExpectAll(*consumer, 2);
  ASSERT_TRUE(consumer->Follow(kPatience).ok());
  EXPECT_EQ(consumer->segment_id(), third->segment_id());
  third.reset();
  ExpectAll(*consumer, 4);
}

TEST_F(SuccessionTest, AConsumerManyProducersBehindReadsEachOfThem) {
  auto first = Create(Config());
  auto consumer = Open();
  ASSERT_EQ(PutStamped(*first, kPatience), SlotResult::kOk);
  first.reset();
  for (uint64_t slots = 1; slots <= 4; ++slots) LiveShortly(slots);
  ExpectAll(*consumer, 1);
  for (uint64_t slots = 1; slots <= 4; ++slots) {
    ASSERT_TRUE(consumer->Follow(kPatience).ok());
    ExpectAll(*consumer, slots);
  }
}

TEST_F(SuccessionTest, AnotherPolicyTakesOverAndNobodyWaitsForEver) {
  ChannelConfig latest = Config();
  latest.policy = Policy::kLatestOnly;
  latest.slot_bytes = 8192;
  auto producer = Create(latest);
  auto consumer = Open();
  producer.reset();
  ChannelConfig lossless = Config();
  lossless.slot_bytes = 8192;
  producer = Create(lossless);
  for (int i = 0; i < 11; ++i) ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  ASSERT_TRUE(consumer->Follow(kPatience).ok());
  ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  ReadSlot slot = consumer->Acquire(kPatience);
  ASSERT_TRUE(slot);
  EXPECT_EQ(slot.sequence(), 11u);
  EXPECT_EQ(slot.missed_slots(), 11u);
}

TEST_F(SuccessionTest, AConsumerThatComesTooLateIsToldWhatItMissed) {
  auto producer = Create(Config());
  auto consumer = Open();
  producer.reset();
  ChannelConfig hasty = Config();
  hasty.reservation_ttl = absl::ZeroDuration();
  producer = Create(hasty);
  for (int i = 0; i < 10; ++i) ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  ASSERT_TRUE(consumer->Follow(kPatience).ok());
  ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  ReadSlot slot = consumer->Acquire(kPatience);
  ASSERT_TRUE(slot);
  EXPECT_EQ(slot.sequence(), 10u);
  EXPECT_EQ(slot.missed_slots(), 10u);
}

TEST_F(SuccessionTest, AnIdleSuccessorsKeptPlaceIsFreeWhenItsTimeIsOver) {
  ChannelConfig single = Config();
  single.policy = Policy::kSingleReader;
  single.reservation_ttl = absl::ZeroDuration();
  auto producer = Create(single);
  auto heir = Open();
  producer.reset();
  producer = Create(single);
  EXPECT_NE(Open(), nullptr);
}

TEST_F(SuccessionTest, NothingIsLeftWhenAnHeirLeavesWithoutFollowing) {
  auto producer = Create(Config());
  auto consumer = Open();
  producer.reset();
  LiveShortly(1);
  EXPECT_EQ(folder_.Files().size(), 5u);
  consumer.reset();
  EXPECT_THAT(folder_.Files(), ::testing::IsEmpty());
}

TEST_F(SuccessionTest, AFullDescriptorTableMakesNobodyTakeALiveSegmentForAbandoned) {
  auto producer = Create(Config());
  auto consumer = Open();
  auto leaver = Open();
  rlimit before = {};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none = {.rlim_cur = 3, .rlim_max = before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  const bool abandoned = IsAbandoned(ChannelFiles(folder_.path(), "heirs"), producer->segment_id());
  leaver.reset();
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_FALSE(abandoned);
  EXPECT_EQ(folder_.Files().size(), 3u);
  ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  EXPECT_TRUE(consumer->Acquire(kPatience));
}

TEST_F(SuccessionTest, ManyDeadConsumersCostOneLookAndTheDeadDoNotCountAsPresent) {
  ChannelConfig config = Config();
  config.min_consumers = 1;
  auto producer = Create(config);
  ChildProcess crowd([&](const ChildProcess::Line& parent) {
    std::vector<std::unique_ptr<DataBlockConsumer>> consumers;
    for (int i = 0; i < 40; ++i) consumers.push_back(Open());
    parent.Signal();
    parent.Await();
    return 1;
  });
  crowd.line().Await();
  ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  crowd.Kill();
  for (int i = 0; i < 10; ++i) ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  EXPECT_EQ(producer->Stats().evicted_consumers, 40u);
  EXPECT_EQ(producer->Stats().waits, 1u) << "one wait frees the producer of them all";
}

TEST_F(SuccessionTest, TheDeadDoNotCountTowardsMinConsumers) {
  ChannelConfig config = Config();
  config.min_consumers = 1;
  auto producer = Create(config);
  ChildProcess dead([&](const ChildProcess::Line& parent) {
    auto consumer = Open();
    parent.Signal();
    parent.Await();
    return 1;
  });
  dead.line().Await();
  dead.Kill();
  EXPECT_EQ(PutStamped(*producer, absl::Milliseconds(20)), SlotResult::kTimeout);
  auto living = Open();
  EXPECT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
}

}  // namespace
}  // namespace pylabhub::shm
