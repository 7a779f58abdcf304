// That each number is truly counted: the test does what it counts, and sees it go up.
#include "shm/metrics.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>
#include <thread>

#include "shm/channel/named_segment.h"
#include "shm/data_block_consumer.h"
#include "shm/data_block_producer.h"
#include "shm/segment/control_segment.h"
#include "tests/shm/writable_data.h"
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
  ChannelConfig Config(Policy policy, uint64_t slot_bytes = 64) const {
    return {.channel = "metrics.test",
            .policy = policy,
            .capacity_slots = 4,
            .slot_bytes = slot_bytes,
            .directory = folder_.path()};
  }
  std::unique_ptr<DataBlockProducer> Create(Policy policy, uint64_t slot_bytes = 64) const {
    return *DataBlockProducer::Create(Config(policy, slot_bytes));
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

TEST_F(MetricsTest, AConsumerThatDiedBeforeTheFirstSlotIsCountedWithIt) {
  ChannelConfig config = Config(Policy::kSyncReader);
  config.min_consumers = 1;
  const auto producer = *DataBlockProducer::Create(config);
  const auto consumer = Open();
  ChildProcess child([&](const ChildProcess::Line& parent) {
    const auto dies = Open();
    parent.Signal();
    parent.Await();
    return 0;
  });
  child.line().Await();
  child.Kill();
  ASSERT_EQ(PutStamped(*producer, absl::ZeroDuration()), SlotResult::kOk);
  EXPECT_EQ(Read().producer.evicted_consumers, 1u);
  EXPECT_EQ(Read().producer.waits, 0u);
}

TEST_F(MetricsTest, ADroppedBacklogAndAConsumerThatIsCutOffAreCounted) {
  const auto producer = Create(Policy::kSyncReader);
  const auto dropped = Open({.when_slow = WhenSlow::kDropBacklog, .patience = absl::Milliseconds(1)});
  for (int i = 0; i < 5; ++i) ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  EXPECT_EQ(Read().producer.dropped_backlogs, 1u);
  EXPECT_EQ(Read().producer.cut_off_consumers, 0u);
  EXPECT_GE(Read().consumers[0].blocked_producer, absl::Milliseconds(1));
  const auto cut_off = Open({.when_slow = WhenSlow::kCutOff, .patience = absl::Milliseconds(1)});
  while (dropped->Acquire(absl::ZeroDuration())) {
  }
  for (int i = 0; i < 5; ++i) {
    ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
    dropped->Acquire(absl::ZeroDuration());
  }
  EXPECT_EQ(Read().producer.cut_off_consumers, 1u);
  EXPECT_EQ(Read().producer.dropped_backlogs, 1u);
  EXPECT_EQ(Read().producer.evicted_consumers, 0u);
}

TEST_F(MetricsTest, ACorruptSlotIsCountedWhetherItsChecksumOrItsDescriptorIsWrong) {
  for (const Checksum checksum : {Checksum::kEnforced, Checksum::kManual, Checksum::kNone}) {
    ChannelConfig config = Config(Policy::kPublishSubscribe);
    config.checksum = checksum;
    const auto producer = *DataBlockProducer::Create(config);
    const auto consumer = Open();
    const WritableData data(folder_);
    for (int i = 0; i < 2; ++i) {
      WriteSlot slot = producer->Acquire(kPatience);
      slot.AddChecksum();
      ASSERT_EQ(slot.Commit(8), SlotResult::kOk);
    }
    data.Flip(0, 0);
    data.descriptor(1).chunk.store(7);
    {
      ReadSlot slot = consumer->Acquire(kPatience);
      EXPECT_TRUE(checksum != Checksum::kManual || slot.Verify() == SlotResult::kCorrupt);
    }
    EXPECT_EQ(Read().consumers[0].corrupt_slots, checksum == Checksum::kNone ? 0u : 1u);
    EXPECT_EQ(consumer->Acquire(kPatience).result(), SlotResult::kCorrupt);
    EXPECT_EQ(Read().consumers[0].corrupt_slots, checksum == Checksum::kNone ? 1u : 2u);
  }
}

TEST_F(MetricsTest, ASlotThatADeadMemberHadIsCountedByTheMemberThatGetsIt) {
  const auto producer = Create(Policy::kPipeline);
  ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  ChildProcess child([&](const ChildProcess::Line& parent) {
    const auto dies = Open();
    const ReadSlot held = dies->Acquire(kPatience);
    parent.Signal();
    parent.Await();
    return 0;
  });
  child.line().Await();
  const auto member = Open();
  child.Kill();
  ASSERT_TRUE(member->Acquire(kPatience).redelivered());
  const ChannelMetrics now = Read();
  const auto alive = std::ranges::find(now.consumers, true, &ConsumerMetrics::alive);
  ASSERT_NE(alive, now.consumers.end());
  EXPECT_EQ(alive->redelivered_slots, 1u);
  EXPECT_EQ(alive->received_slots, 1u);
  EXPECT_EQ(alive->group, "workers");
}

// What no correct consumer writes, wherever it writes it.
TEST_F(MetricsTest, EachKindOfNonsenseInControlIsCounted) {
  const struct {
    const char* what;
    Policy policy;
    uint64_t slot_bytes;
    void (*spoil)(const ControlView& control, ConsumerEntry& entry);
  } kinds[] = {
      {"a cursor ahead", Policy::kSyncReader, 64,
       [](const ControlView&, ConsumerEntry& entry) { entry.cursor = 1'000'000; }},
      {"a cursor that goes back", Policy::kSyncReader, 64,
       [](const ControlView&, ConsumerEntry& entry) { entry.cursor = 0; }},
      {"a pin of no chunk", Policy::kPublishSubscribe, 4096,
       [](const ControlView&, ConsumerEntry& entry) { entry.pins[0] = 1'000; }},
      {"a state of sleep that there is not", Policy::kLatestOnly, 64,
       [](const ControlView&, ConsumerEntry& entry) { entry.wait_state = 77; }},
      {"a sleep for a slot far ahead", Policy::kPublishSubscribe, 64,
       [](const ControlView&, ConsumerEntry& entry) {
         entry.cursor = 1'000'000;
         entry.wait_state = kSleeping;
       }},
      {"an order that there is not", Policy::kPublishSubscribe, 64,
       [](const ControlView& control, ConsumerEntry& entry) {
         entry.order = 9;
         entry.state = StateOf(77, Phase::kActive);
         ++control.header->membership_changes;
       }},
      {"a claim of another slot", Policy::kPipeline, 64,
       [](const ControlView& control, ConsumerEntry&) {
         for (auto& claim : control.claims(0)) claim = ClaimWord(999, ClaimState::kDone);
       }},
  };
  for (const auto& kind : kinds) {
    pylabhub::testing::ShmFolder folder;
    folder.AllowLeftovers();
    const auto producer = *DataBlockProducer::Create({.channel = "metrics.test",
                                                      .policy = kind.policy,
                                                      .capacity_slots = 4,
                                                      .slot_bytes = kind.slot_bytes,
                                                      .directory = folder.path()});
    const auto consumer = *DataBlockConsumer::Open("metrics.test", {.directory = folder.path()});
    const auto count = [&] {
      return ReadMetrics("metrics.test", folder.path())->producer.invalid_peer_values;
    };
    for (int i = 0; i < 20; ++i) {
      ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
      ASSERT_TRUE(consumer->Acquire(kPatience));
    }
    ASSERT_EQ(count(), 0u) << kind.what;
    const ChannelFiles files(folder.path(), "metrics.test");
    const auto segment = OpenNamedSegment(files, producer->segment_id(), Access::kReadWrite);
    ASSERT_TRUE(segment.ok()) << segment.status();
    const ControlView& control = segment->control.parts.front().view;
    kind.spoil(control, control.entry(0));
    for (int i = 0; i < 10; ++i) PutStamped(*producer, absl::ZeroDuration());
    EXPECT_GT(count(), 0u) << kind.what;
  }
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
