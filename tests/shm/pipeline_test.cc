// Groups of consumers that share the work, between processes and threads: who gets which slot, and what becomes of it when
// somebody is killed, stopped, or leaves.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <atomic>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "shm/channel/named_segment.h"
#include "shm/data_block_consumer.h"
#include "shm/data_block_producer.h"
#include "shm/wait_set.h"
#include "tests/support/child_process.h"
#include "tests/support/seed.h"
#include "tests/support/shm_folder.h"
#include "tests/support/stamped_slots.h"

namespace pylabhub::shm {
namespace {

using ::pylabhub::testing::ChildProcess;
using ::pylabhub::testing::IsStamped;
using ::pylabhub::testing::PutStamped;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr absl::Duration kPatience = absl::Seconds(20);
constexpr absl::Duration kShort = absl::Milliseconds(50);  // longer than several looks at a peer
constexpr char kChannel[] = "pipeline.test";

// How often each slot was had, counted by all processes.
class Tally {
 public:
  explicit Tally(size_t slots) : slots_(slots) {
    void* memory = mmap(nullptr, Bytes(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    counts_ = static_cast<Counts*>(memory);
  }
  ~Tally() { munmap(counts_, Bytes()); }
  Tally(const Tally&) = delete;
  Tally& operator=(const Tally&) = delete;

  void Count(const ReadSlot& slot) {
    Counts& counts = counts_[slot.sequence()];
    if (slot.redelivered()) ++counts.redelivered;
    ++counts.had;
    if (!IsStamped(slot.payload(), slot.sequence())) ++counts.torn;
  }
  uint32_t had(size_t slot) const { return counts_[slot].had; }
  uint32_t redelivered(size_t slot) const { return counts_[slot].redelivered; }

  // True if each of the first `slots` slots was had once, not counting what was delivered again and said so.
  void ExpectEachOnce(size_t slots) const {
    for (size_t slot = 0; slot < slots; ++slot) {
      ASSERT_EQ(counts_[slot].had - counts_[slot].redelivered, 1u) << "slot " << slot;
      ASSERT_EQ(counts_[slot].torn, 0u) << "slot " << slot;
    }
  }

 private:
  struct Counts {
    std::atomic<uint32_t> had;
    std::atomic<uint32_t> redelivered;
    std::atomic<uint32_t> torn;
  };
  size_t Bytes() const { return slots_ * sizeof(Counts); }

  size_t slots_;
  Counts* counts_;
};

class PipelineTest : public ::testing::TestWithParam<uint64_t> {
 protected:
  ChannelConfig Config() const {
    return {.channel = kChannel,
            .policy = Policy::kPipeline,
            .capacity_slots = 4,
            .slot_bytes = GetParam(),
            .max_consumers = 8,
            .directory = folder_.path()};
  }
  static std::unique_ptr<DataBlockProducer> Create(const ChannelConfig& config) {
    auto producer = DataBlockProducer::Create(config);
    EXPECT_TRUE(producer.ok()) << producer.status();
    return producer.ok() ? *std::move(producer) : nullptr;
  }
  std::unique_ptr<DataBlockProducer> Create() const { return Create(Config()); }

  std::unique_ptr<DataBlockConsumer> Open(ConsumerOptions options = {}) const {
    options.open_timeout = kPatience;
    options.directory = folder_.path();
    auto consumer = DataBlockConsumer::Open(kChannel, options);
    EXPECT_TRUE(consumer.ok()) << consumer.status();
    return consumer.ok() ? *std::move(consumer) : nullptr;
  }
  absl::Status ErrorOfOpen(ConsumerOptions options) const {
    options.directory = folder_.path();
    return DataBlockConsumer::Open(kChannel, options).status();
  }

  // A process that holds the next slot (or `slots` of them) and says so; then it waits to be told.
  std::unique_ptr<ChildProcess> Holder(uint32_t slots = 1) const {
    return std::make_unique<ChildProcess>([this, slots](const ChildProcess::Line& test) {
      auto consumer = Open({.max_batch = slots});
      ReadBatch batch = consumer->AcquireBatch(slots, kPatience);
      if (batch.size() != slots) return 1;
      test.Signal();
      test.Await();
      return batch.Release() == SlotResult::kOk ? 0 : 2;
    });
  }

  // For a test that ends with slots that nobody has read: they are kept.
  void LeaveSlotsUnread() { folder_.AllowLeftovers(); }

  pylabhub::testing::ShmFolder folder_;
};

std::vector<uint64_t> Drain(DataBlockConsumer& consumer, SlotResult* end,
                            std::vector<uint64_t>* again = nullptr) {
  std::vector<uint64_t> sequences;
  for (;;) {
    ReadSlot slot = consumer.Acquire(kPatience);
    *end = slot.result();
    if (!slot) return sequences;
    EXPECT_TRUE(IsStamped(slot.payload(), slot.sequence()));
    sequences.push_back(slot.sequence());
    if (again != nullptr && slot.redelivered()) again->push_back(slot.sequence());
  }
}

// Works until the producer is gone.
SlotResult Work(DataBlockConsumer& consumer, Tally& tally) {
  for (;;) {
    ReadSlot slot = consumer.Acquire(kPatience);
    if (!slot) return slot.result();
    tally.Count(slot);
    if (slot.Release() != SlotResult::kOk) return SlotResult::kOverrun;
  }
}

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

TEST_P(PipelineTest, AProducerThatSleepsForAGroupIsWoken) {
  LeaveSlotsUnread();
  auto producer = Create();
  auto member = Open();
  const ChannelFiles files(folder_.path(), kChannel);
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
  const ChannelFiles files(folder_.path(), kChannel);
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
