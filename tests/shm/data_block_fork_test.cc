// A child of fork() has copies of its parent's handles, and no channel.
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <utility>

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

class DataBlockForkTest : public ::testing::TestWithParam<uint64_t> {
 protected:
  DataBlockForkTest() {
    auto producer = DataBlockProducer::Create(
        {.channel = "fork.test", .capacity_slots = 4, .slot_bytes = GetParam(), .directory = folder_.path()});
    EXPECT_TRUE(producer.ok()) << producer.status();
    producer_ = *std::move(producer);
    auto consumer = DataBlockConsumer::Open("fork.test", {.directory = folder_.path()});
    EXPECT_TRUE(consumer.ok()) << consumer.status();
    consumer_ = *std::move(consumer);
  }

  void ExpectThatTheChannelWorks() {
    ASSERT_EQ(PutStamped(*producer_, kPatience), SlotResult::kOk);
    EXPECT_TRUE(consumer_->Acquire(kPatience));
    EXPECT_TRUE(consumer_->ProducerIsAlive());
    EXPECT_EQ(producer_->consumer_count(), 1u);
    EXPECT_TRUE(absl::IsAlreadyExists(DataBlockProducer::Create(producer_->config()).status()));
  }

  pylabhub::testing::ShmFolder folder_;
  std::unique_ptr<DataBlockProducer> producer_;
  std::unique_ptr<DataBlockConsumer> consumer_;
};

TEST_P(DataBlockForkTest, AChildsHandlesAnswerForked) {
  ASSERT_EQ(PutStamped(*producer_, kPatience), SlotResult::kOk);
  ChildProcess child([this](const ChildProcess::Line&) {
    if (producer_->Acquire(absl::ZeroDuration()).result() != SlotResult::kForked) return 1;
    if (consumer_->Acquire(absl::ZeroDuration()).result() != SlotResult::kForked) return 2;
    if (consumer_->Follow(absl::ZeroDuration()).ok()) return 3;
    return 0;
  });
  EXPECT_EQ(child.Wait(), 0);
  EXPECT_TRUE(consumer_->Acquire(kPatience));
  ExpectThatTheChannelWorks();
}

TEST_P(DataBlockForkTest, WhatAChildAsksOfAHandleThatItDoesNotHaveIsAnsweredAndNoCrash) {
  ChildProcess child([this](const ChildProcess::Line&) {
    if (consumer_->ProducerIsAlive()) return 1;
    if (producer_->consumer_count() != 0) return 2;
    if (producer_->Stats().committed_slots != 0) return 3;
    if (consumer_->Stats().received_slots != 0) return 4;
    return producer_->segment_id() == consumer_->segment_id() ? 0 : 5;
  });
  ExpectThatTheChannelWorks();
  EXPECT_EQ(child.Wait(), 0);
}

TEST_P(DataBlockForkTest, AChildsDestructorsTouchNothing) {
  ChildProcess child([this](const ChildProcess::Line&) {
    producer_.reset();
    consumer_.reset();
    return 0;
  });
  EXPECT_EQ(child.Wait(), 0);
  EXPECT_EQ(folder_.Files().size(), 3u);
  ExpectThatTheChannelWorks();
}

TEST_P(DataBlockForkTest, AChildThatIsBornWhileSlotsAreHeldLeavesThemToItsParent) {
  ASSERT_EQ(PutStamped(*producer_, kPatience), SlotResult::kOk);
  std::optional<ReadSlot> reading(consumer_->Acquire(kPatience));
  std::optional<WriteSlot> writing(producer_->Acquire(kPatience));
  ASSERT_TRUE(*reading && *writing);
  ChildProcess child([&](const ChildProcess::Line&) {
    if (writing->Commit(1) != SlotResult::kForked) return 1;
    if (reading->Release() != SlotResult::kForked) return 2;
    writing.reset();
    reading.reset();
    producer_.reset();
    consumer_.reset();
    return 0;
  });
  EXPECT_EQ(child.Wait(), 0);
  EXPECT_TRUE(pylabhub::testing::IsStamped(reading->payload(), 0));
  EXPECT_EQ(reading->Release(), SlotResult::kOk);
  pylabhub::testing::Stamp(writing->payload(), 1);
  EXPECT_EQ(writing->Commit(writing->payload().size()), SlotResult::kOk);
  EXPECT_TRUE(consumer_->Acquire(kPatience));
  ExpectThatTheChannelWorks();
}

TEST_P(DataBlockForkTest, AChildMayHaveHandlesOfItsOwn) {
  ASSERT_EQ(PutStamped(*producer_, kPatience), SlotResult::kOk);
  ChildProcess child([this](const ChildProcess::Line& parent) {
    auto own = DataBlockConsumer::Open("fork.test", {.directory = folder_.path()});
    if (!own.ok()) return 1;
    parent.Signal();
    const ReadSlot slot = (*own)->Acquire(kPatience);
    return slot && slot.sequence() == 1 ? 0 : 2;
  });
  ASSERT_NE(child.line().Await(), 0);
  EXPECT_EQ(producer_->consumer_count(), 2u);
  ASSERT_EQ(PutStamped(*producer_, kPatience), SlotResult::kOk);
  EXPECT_EQ(child.Wait(), 0);
}

INSTANTIATE_TEST_SUITE_P(Sizes, DataBlockForkTest, ::testing::Values(64, 8192));

}  // namespace
}  // namespace pylabhub::shm
