// That each number is truly counted: the test does what it counts, and sees it go up.
#include "shm/metrics.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <thread>

#include "shm/data_block_consumer.h"
#include "shm/data_block_producer.h"
#include "tests/support/child_process.h"
#include "tests/support/shm_folder.h"
#include "tests/support/stamped_slots.h"

namespace pylabhub::shm {
namespace {

using ::pylabhub::testing::ChildProcess;
using ::pylabhub::testing::PutStamped;

constexpr absl::Duration kPatience = absl::Seconds(20);

class MetricsTest : public ::testing::Test {
 protected:
  std::unique_ptr<DataBlockProducer> Create(Policy policy, uint64_t slot_bytes = 64) const {
    return *DataBlockProducer::Create({.channel = "metrics.test",
                                       .policy = policy,
                                       .capacity_slots = 4,
                                       .slot_bytes = slot_bytes,
                                       .directory = folder_.path()});
  }
  std::unique_ptr<DataBlockConsumer> Open(ConsumerOptions options = {}) const {
    options.directory = folder_.path();
    return *DataBlockConsumer::Open("metrics.test", options);
  }
  ChannelMetrics Read() const {
    const auto metrics = ReadMetrics("metrics.test", folder_.path());
    EXPECT_TRUE(metrics.ok()) << metrics.status();
    return *metrics;
  }

  pylabhub::testing::ShmFolder folder_;
};

TEST_F(MetricsTest, AChannelThatIsNotThereIsNotFound) {
  EXPECT_TRUE(absl::IsNotFound(ReadMetrics("metrics.test", folder_.path()).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(ReadMetrics("No Name", folder_.path()).status()));
}

TEST_F(MetricsTest, EachCounterOfTheProducerIsCounted) {
  const auto producer = Create(Policy::kSyncReader);
  EXPECT_EQ(Read().producer_state, ProducerState::kAlive);
  EXPECT_EQ(Read().producer_pid, getpid());
  ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  producer->Acquire(kPatience).Abort();
  const ChannelMetrics before = Read();
  EXPECT_EQ(before.producer.committed_slots, 2u);
  EXPECT_EQ(before.producer.committed_bytes, 128u);
  EXPECT_EQ(before.producer.aborted_slots, 1u);
  EXPECT_EQ(before.producer.waits, 0u);

  const auto consumer = Open();
  for (int i = 0; i < 4; ++i) ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  EXPECT_EQ(producer->Acquire(absl::Milliseconds(5)).result(), SlotResult::kTimeout);
  const ChannelMetrics blocked = Read();
  EXPECT_EQ(blocked.producer.waits, 1u);
  EXPECT_GE(blocked.producer.blocked, absl::Milliseconds(5));
  ASSERT_EQ(blocked.consumers.size(), 1u);
  EXPECT_GT(blocked.consumers[0].blocked_producer, absl::ZeroDuration());
}

TEST_F(MetricsTest, AnEvictedConsumerIsCountedAndSeenToBeDead) {
  const auto producer = Create(Policy::kSyncReader);
  ChildProcess child([&](const ChildProcess::Line& parent) {
    const auto consumer = Open();
    parent.Signal();
    parent.Await();
    return 0;
  });
  child.line().Await();
  const ChannelMetrics living = Read();
  ASSERT_EQ(living.consumers.size(), 1u);
  EXPECT_TRUE(living.consumers[0].alive);
  EXPECT_EQ(living.consumers[0].pid, child.pid());
  ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  child.Kill();
  ASSERT_EQ(Read().consumers.size(), 1u);
  EXPECT_FALSE(Read().consumers[0].alive);
  for (int i = 0; i < 5; ++i) ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  EXPECT_EQ(Read().producer.evicted_consumers, 1u);
}

TEST_F(MetricsTest, EachCounterOfAConsumerIsCounted) {
  const auto producer = Create(Policy::kPublishSubscribe);
  const auto consumer = Open({.wait = {.spin = absl::ZeroDuration()}});
  EXPECT_EQ(consumer->Acquire(absl::Milliseconds(2)).result(), SlotResult::kTimeout);
  ChannelMetrics now = Read();
  ASSERT_EQ(now.consumers.size(), 1u);
  EXPECT_EQ(now.consumers[0].waits, 1u);
  EXPECT_EQ(now.consumers[0].sleeps, 1u);
  EXPECT_EQ(now.consumers[0].lag, 0u);
  EXPECT_EQ(now.consumers[0].order, ReadOrder::kNext);

  for (int i = 0; i < 3; ++i) ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  EXPECT_EQ(Read().consumers[0].lag, 3u);
  consumer->Acquire(kPatience).Release();
  now = Read();
  EXPECT_EQ(now.consumers[0].cursor, 1u);
  EXPECT_EQ(now.consumers[0].lag, 2u);
  EXPECT_EQ(now.consumers[0].received_slots, 1u);
  EXPECT_EQ(now.consumers[0].received_bytes, 64u);
  EXPECT_EQ(now.consumers[0].missed_slots, 0u);

  for (int i = 0; i < 20; ++i) ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  ReadSlot slot = consumer->Acquire(kPatience);
  ASSERT_TRUE(slot);
  const uint64_t missed = slot.missed_slots();
  slot.Release();
  EXPECT_GT(missed, 0u);
  EXPECT_EQ(Read().consumers[0].missed_slots, missed);
}

TEST_F(MetricsTest, ASleepingConsumerThatIsWokenIsCountedByTheProducer) {
  auto producer = Create(Policy::kPublishSubscribe);
  const auto consumer = Open({.wait = {.spin = absl::ZeroDuration()}});
  std::thread reader([&] {
    while (consumer->Acquire(kPatience)) {
    }
  });
  // It sleeps again and again, and the producer sees it at some time.
  while (Read().producer.wakes == 0) ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  producer.reset();
  reader.join();
  EXPECT_GT(Read().consumers[0].sleeps, 0u);
}

TEST_F(MetricsTest, APinnedChunkIsSeenWhileItIsHeld) {
  const auto producer = Create(Policy::kPublishSubscribe, 4096);
  const auto consumer = Open();
  ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  {
    const ReadSlot held = consumer->Acquire(kPatience);
    ASSERT_TRUE(held);
    EXPECT_EQ(Read().consumers[0].pinned_chunks, 1u);
  }
  EXPECT_EQ(Read().consumers[0].pinned_chunks, 0u);
}

TEST_F(MetricsTest, AClosedChannelAndOneWithoutANameAreReadToo) {
  auto producer = Create(Policy::kSyncReader);
  const auto consumer = Open();
  producer.reset();
  EXPECT_EQ(Read().producer_state, ProducerState::kClosed);

  const auto sealed = DataBlockProducer::CreateSealed({.channel = "sealed.test", .slot_bytes = 64});
  ASSERT_TRUE(sealed.ok()) << sealed.status();
  ASSERT_EQ(PutStamped(**sealed, kPatience), SlotResult::kOk);
  const auto metrics = ReadMetrics(*(*sealed)->descriptors());
  ASSERT_TRUE(metrics.ok()) << metrics.status();
  EXPECT_EQ(metrics->producer.committed_slots, 1u);
  EXPECT_EQ(metrics->producer_state, ProducerState::kAlive);
}

}  // namespace
}  // namespace pylabhub::shm
