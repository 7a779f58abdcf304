// Groups of consumers that share the work, between processes and threads: who gets which slot.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "shm/channel/named_segment.h"
#include "shm/data_block_consumer.h"
#include "shm/data_block_producer.h"
#include "shm/wait_set.h"
#include "tests/shm/pipeline_fixture.h"
#include "tests/support/child_process.h"
#include "tests/support/stamped_slots.h"

namespace pylabhub::shm {
namespace {

using ::pylabhub::testing::ChildProcess;
using ::pylabhub::testing::PutStamped;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST_P(PipelineTest, EachSlotGoesToExactlyOneMemberWhicheverProcessItIsIn) {
  constexpr uint64_t kSlots = 20'000;
  Tally tally(kSlots);
  auto producer = Create();
  std::vector<std::unique_ptr<ChildProcess>> workers;
  for (int i = 0; i < 3; ++i) {
    workers.push_back(std::make_unique<ChildProcess>([&](const ChildProcess::Line& test) {
      auto consumer = Open();
      test.Signal();
      return Work(*consumer, tally) == SlotResult::kProducerClosed ? 0 : 1;
    }));
    workers.back()->line().Await();
  }
  for (uint64_t i = 0; i < kSlots; ++i) ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  EXPECT_EQ(producer->Stats().invalid_peer_values, 0u);
  producer.reset();
  for (auto& worker : workers) EXPECT_EQ(worker->Wait(), 0) << "a slot changed, or the end was not told";
  tally.ExpectEachOnce(kSlots);
}

TEST_P(PipelineTest, EachSlotGoesToExactlyOneOfManyThreads) {
  constexpr uint64_t kSlots = 5'000;
  Tally tally(kSlots);
  auto producer = Create();
  std::vector<std::thread> workers;
  for (int i = 0; i < 3; ++i) {
    workers.emplace_back([&, consumer = std::shared_ptr(Open())] {
      EXPECT_EQ(Work(*consumer, tally), SlotResult::kProducerClosed);
    });
  }
  for (uint64_t i = 0; i < kSlots; ++i) ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  producer.reset();
  for (std::thread& worker : workers) worker.join();
  tally.ExpectEachOnce(kSlots);
}

TEST_P(PipelineTest, EveryGroupGetsEverySlot) {
  constexpr uint64_t kSlots = 2'000;
  Tally analysis(kSlots);
  Tally archive(kSlots);
  ChannelConfig config = Config();
  config.groups = {"analysis", "archive"};
  auto producer = Create(config);
  std::vector<std::unique_ptr<ChildProcess>> workers;
  for (const std::string group : {"analysis", "archive", "analysis"}) {
    workers.push_back(std::make_unique<ChildProcess>([&](const ChildProcess::Line& test) {
      auto consumer = Open({.group = group});
      if (consumer->group() != group) return 1;
      test.Signal();
      return Work(*consumer, group == "archive" ? archive : analysis) == SlotResult::kProducerClosed ? 0 : 2;
    }));
    workers.back()->line().Await();
  }
  for (uint64_t i = 0; i < kSlots; ++i) ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  producer.reset();
  for (auto& worker : workers) EXPECT_EQ(worker->Wait(), 0);
  analysis.ExpectEachOnce(kSlots);
  archive.ExpectEachOnce(kSlots);
}

TEST_P(PipelineTest, SlotsWaitForTheFirstMemberAndThenTheProducerDoes) {
  LeaveSlotsUnread();
  auto producer = Create();
  for (int i = 0; i < 4; ++i) ASSERT_EQ(PutStamped(*producer, absl::ZeroDuration()), SlotResult::kOk);
  EXPECT_EQ(PutStamped(*producer, kShort), SlotResult::kTimeout);
  auto member = Open();
  for (uint64_t i = 0; i < 4; ++i) {
    ReadSlot slot = member->Acquire(absl::ZeroDuration());
    ASSERT_TRUE(slot);
    EXPECT_EQ(slot.sequence(), i);
    EXPECT_FALSE(slot.redelivered());
  }
  EXPECT_EQ(PutStamped(*producer, absl::ZeroDuration()), SlotResult::kOk);
}

TEST_P(PipelineTest, AProducerThatSleepsForAGroupIsWoken) {
  LeaveSlotsUnread();
  auto producer = Create();
  auto member = Open();
  const ChannelFiles files(folder_.path(), kPipeline);
  const auto segment = OpenNamedSegment(files, producer->segment_id(), Access::kReadOnly);
  ASSERT_TRUE(segment.ok());
  const ProducerWait& wait = segment->data_view.header->wait;
  for (int i = 0; i < 4; ++i) ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  // Between two slices of its sleep a producer needs no wake: until a release has met one that sleeps.
  bool woken = false;
  for (int round = 0; round < 1000 && !woken; ++round) {
    ReadSlot slot = member->Acquire(kPatience);
    std::thread blocked([&] { EXPECT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk); });
    while (wait.waiting_place != kWaitingGroup) std::this_thread::yield();
    slot.Release();
    blocked.join();
    woken = segment->control.parts.front().view.group(0).releases.load() != 0;
  }
  EXPECT_TRUE(woken);
}

TEST_P(PipelineTest, AMemberIsToldOfTheEndOnlyWhenNobodyHoldsASlotAnyMore) {
  auto producer = Create();
  auto holder = Open();
  auto other = Open();
  ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  ReadSlot held = holder->Acquire(kPatience);
  ASSERT_TRUE(held);
  producer.reset();
  EXPECT_EQ(other->Acquire(kShort).result(), SlotResult::kTimeout);
  EXPECT_TRUE(absl::IsFailedPrecondition(other->Follow(absl::ZeroDuration())));
  EXPECT_EQ(held.Release(), SlotResult::kOk);
  EXPECT_EQ(other->Acquire(kPatience).result(), SlotResult::kProducerClosed);
  EXPECT_EQ(holder->Acquire(kPatience).result(), SlotResult::kProducerClosed);
}

TEST_P(PipelineTest, ABatchIsSharedSlotBySlot) {
  LeaveSlotsUnread();
  auto producer = Create();
  for (int i = 0; i < 4; ++i) ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  auto greedy = Open({.max_batch = 3});
  auto other = Open({.max_batch = 3});
  ReadBatch three = greedy->AcquireBatch(3, kPatience);
  ASSERT_EQ(three.size(), 3u);
  ReadBatch rest = other->AcquireBatch(3, kPatience);
  ASSERT_EQ(rest.size(), 1u);
  EXPECT_EQ(rest[0].sequence, 3u);
  EXPECT_EQ(rest.Release(), SlotResult::kOk);
  EXPECT_EQ(PutStamped(*producer, kShort), SlotResult::kTimeout);
  EXPECT_EQ(three.Release(), SlotResult::kOk);
  EXPECT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  EXPECT_EQ(greedy->Stats().received_slots, 3u);
}

TEST_P(PipelineTest, AWaitSetTellsOfFreshSlotsOfWhatADeadMemberHeldAndOfTheEnd) {
  auto producer = Create();
  auto survivor = Open();
  WaitSet set({.spin = absl::ZeroDuration()});
  ASSERT_TRUE(set.Add(*survivor).ok());
  ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  auto victim = Holder();
  victim->line().Await();
  EXPECT_EQ(set.Wait(kShort).outcome, WaitOutcome::kTimeout) << "the slot has a holder who lives";
  ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  ASSERT_EQ(set.Wait(kPatience).outcome, WaitOutcome::kReady);
  EXPECT_EQ(survivor->Acquire(absl::ZeroDuration()).sequence(), 1u);
  producer.reset();
  EXPECT_EQ(set.Wait(kShort).outcome, WaitOutcome::kTimeout) << "the group is not through";
  victim->Kill();
  ASSERT_EQ(set.Wait(kPatience).outcome, WaitOutcome::kReady);
  EXPECT_TRUE(survivor->Acquire(absl::ZeroDuration()).redelivered());
  ASSERT_EQ(set.Wait(kPatience).outcome, WaitOutcome::kReady);
  EXPECT_EQ(survivor->Acquire(absl::ZeroDuration()).result(), SlotResult::kProducerClosed);
}

TEST_P(PipelineTest, WhoReadsTheLatestLooksOnAndTakesNothingAway) {
  auto producer = Create();
  auto onlooker = Open({.order = ReadOrder::kLatest});
  EXPECT_EQ(onlooker->group(), "");
  for (int i = 0; i < 3; ++i) ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  {
    ReadSlot slot = onlooker->Acquire(kPatience);
    EXPECT_EQ(slot.sequence(), 2u);
  }
  auto member = Open();
  EXPECT_EQ(member->group(), "workers");
  for (uint64_t i = 0; i < 3; ++i) EXPECT_EQ(member->Acquire(kPatience).sequence(), i);
  for (int i = 3; i < 7; ++i) ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  EXPECT_EQ(onlooker->Acquire(kPatience).sequence(), 6u);
  EXPECT_EQ(PutStamped(*producer, kShort), SlotResult::kTimeout);
  SlotResult end;
  producer.reset();
  EXPECT_THAT(Drain(*member, &end), ElementsAre(3, 4, 5, 6));
}

TEST_P(PipelineTest, AGroupThatIsNotThereIsRefusedWithThoseThatAre) {
  ChannelConfig config = Config();
  config.groups = {"analysis", "archive"};
  auto producer = Create(config);
  const absl::Status unknown = ErrorOfOpen({.group = "arcive", .open_timeout = absl::Hours(1)});
  EXPECT_TRUE(absl::IsNotFound(unknown)) << unknown;
  EXPECT_THAT(std::string(unknown.message()), HasSubstr("no group 'arcive'; it has analysis, archive"));
  const absl::Status unsaid = ErrorOfOpen({});
  EXPECT_TRUE(absl::IsInvalidArgument(unsaid)) << unsaid;
  EXPECT_THAT(std::string(unsaid.message()), HasSubstr("analysis, archive"));
  EXPECT_TRUE(absl::IsInvalidArgument(ErrorOfOpen({.order = ReadOrder::kLatest, .group = "archive"})));
  producer.reset();
  config.policy = Policy::kSyncReader;
  config.groups = {};
  producer = Create(config);
  const absl::Status none = ErrorOfOpen({.group = "archive"});
  EXPECT_TRUE(absl::IsNotFound(none)) << none;
  EXPECT_THAT(std::string(none.message()), HasSubstr("sync_reader"));
}

TEST_P(PipelineTest, ASlotThatMakesNoSenseIsReportedToOneMemberAndDoesNotComeAgain) {
  LeaveSlotsUnread();
  auto producer = Create();
  auto one = Open();
  auto other = Open();
  for (int i = 0; i < 3; ++i) ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  const ChannelFiles files(folder_.path(), kPipeline);
  auto data = Mapping::Of(UniqueFd::Open(files.DataPath(producer->segment_id()), O_RDWR), Access::kReadWrite);
  ASSERT_TRUE(data.ok());
  const auto view = ViewData(data->bytes());
  ASSERT_TRUE(view.ok());
  At<SlotDescriptor>(data->base(), view->geometry.cells_offset_bytes)->payload_bytes = UINT64_MAX;
  EXPECT_EQ(one->Acquire(kPatience).result(), SlotResult::kCorrupt);
  EXPECT_EQ(other->Acquire(kPatience).sequence(), 1u);
  EXPECT_EQ(one->Acquire(kPatience).sequence(), 2u);
  for (int i = 0; i < 4; ++i) ASSERT_EQ(PutStamped(*producer, absl::ZeroDuration()), SlotResult::kOk);
}

INSTANTIATE_TEST_SUITE_P(SlotBytes, PipelineTest, ::testing::Values(uint64_t{64}, uint64_t{8192}),
                         [](const auto& info) { return std::to_string(info.param); });

}  // namespace
}  // namespace pylabhub::shm
