// Control memory in parts: who was given one is evicted by a fresh one, a producer moves on to fresh memory without a loss, and
// what somebody makes of the bell stops nobody.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "shm/data_block_consumer.h"
#include "shm/data_block_producer.h"
#include "shm/part_plan.h"
#include "shm/wait_set.h"
#include "tests/support/child_process.h"
#include "tests/support/every_policy.h"
#include "tests/support/shm_folder.h"
#include "tests/support/socket_pair.h"
#include "tests/support/stamped_slots.h"

namespace pylabhub::shm {
namespace {

using ::pylabhub::testing::ChildProcess;
using ::pylabhub::testing::IsStamped;
using ::pylabhub::testing::PutStamped;
using ::pylabhub::testing::SocketPair;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr absl::Duration kPatience = absl::Seconds(20);
constexpr absl::Duration kShort = absl::Milliseconds(30);

ChannelConfig Config(Policy policy = Policy::kSyncReader, uint64_t slot_bytes = 4096) {
  return {.channel = "parts.test",
          .policy = policy,
          .capacity_slots = 4,
          .slot_bytes = slot_bytes,
          .max_consumers = policy == Policy::kSingleReader ? 1u : 4u};
}

std::unique_ptr<DataBlockProducer> Create(const ChannelConfig& config) {
  auto producer = DataBlockProducer::CreateSealed(config);
  EXPECT_TRUE(producer.ok()) << producer.status();
  return producer.ok() ? *std::move(producer) : nullptr;
}

std::unique_ptr<DataBlockConsumer> Open(const ConsumerDescriptors& descriptors,
                                        const ConsumerOptions& options = {}) {
  auto consumer = DataBlockConsumer::OpenSealed(descriptors, options);
  EXPECT_TRUE(consumer.ok()) << consumer.status();
  return consumer.ok() ? *std::move(consumer) : nullptr;
}

ConsumerDescriptors For(const DataBlockProducer& producer, size_t part = 0) {
  return *producer.descriptors()->ForConsumer(part);
}

// What a consumer gets that is given a renewed part.
ConsumerDescriptors Renewed(const DataBlockProducer& producer, const RenewedParts& renewed,
                            size_t index = 0) {
  ConsumerDescriptors descriptors = For(producer, renewed.parts[index]);
  descriptors.part = *DuplicateDescriptor(renewed.descriptors[index]);
  return descriptors;
}

TEST(PartPlanTest, EveryConsumerHasAPartOfItsOwnAndEveryGroupOneForItsMembers) {
  EXPECT_THAT(PlanParts(Config().WithDefaults()),
              ElementsAre(PartPlan{0, 1, 0}, PartPlan{1, 1, 0}, PartPlan{2, 1, 0}, PartPlan{3, 1, 0}));
  ChannelConfig shared = Config(Policy::kPipeline);
  shared.groups = {"a", "b"};
  shared.max_consumers = 2;
  const std::vector<PartPlan> plan = PlanParts(shared.WithDefaults());
  EXPECT_THAT(plan, ElementsAre(PartPlan{0, 2, 1}, PartPlan{2, 2, 2}, PartPlan{4, 1, 0}, PartPlan{5, 1, 0}));
  EXPECT_EQ(CountPlaces(plan), 6u);
}

TEST(PartsTest, AConsumerSitsAtThePlaceOfItsPartAndFindsItTaken) {
  const auto producer = Create(Config());
  const auto consumer = Open(For(*producer, 2));
  EXPECT_EQ(consumer->place(), 2u);
  EXPECT_THAT(producer->PartsInUse(), ElementsAre(2u));
  EXPECT_TRUE(absl::IsResourceExhausted(DataBlockConsumer::OpenSealed(For(*producer, 2)).status()));
  EXPECT_EQ(producer->consumer_count(), 1u);
}

TEST(PartsTest, MembersShareThePartOfTheirGroupAndNobodyElseMayUseIt) {
  ChannelConfig config = Config(Policy::kPipeline);
  config.groups = {"a", "b"};
  const auto producer = Create(config);
  const auto first = Open(For(*producer, 0), {.group = "a"});
  const auto second = Open(For(*producer, 0), {.group = "a"});
  const auto other = Open(For(*producer, 1), {.group = "b"});
  const auto onlooker = Open(For(*producer, 2), {.order = ReadOrder::kLatest});
  EXPECT_EQ(other->place(), 4u);
  EXPECT_EQ(onlooker->place(), 8u);
  const absl::Status status = DataBlockConsumer::OpenSealed(For(*producer, 1), {.group = "a"}).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("is for group 'b'"));

  std::map<uint64_t, int> taken;
  for (int i = 0; i < 4; ++i) ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  EXPECT_EQ(onlooker->Acquire(kPatience).sequence(), 3u);
  for (const auto& member : {first.get(), second.get(), first.get(), second.get()}) {
    const ReadSlot slot = member->Acquire(kPatience);
    ASSERT_TRUE(slot && IsStamped(slot.payload(), slot.sequence()));
    ++taken[slot.sequence()];
  }
  EXPECT_EQ(taken.size(), 4u);
  EXPECT_EQ(producer->Acquire(kShort).result(), SlotResult::kTimeout) << "group b has read nothing";
  for (uint64_t i = 0; i < 4; ++i) ASSERT_EQ(other->Acquire(kPatience).sequence(), i);
  EXPECT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
}

TEST(PartsTest, WhoeverHasAPartThatIsRenewedIsEvictedWhateverLocksItHolds) {
  const auto producer = Create(Config());
  const auto holder = Open(For(*producer, 1));
  const auto reader = Open(For(*producer, 2));
  ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  const ReadSlot held = holder->Acquire(kPatience);
  for (int i = 0; i < 3; ++i) ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(reader->Acquire(kPatience));
  ASSERT_EQ(producer->Acquire(kShort).result(), SlotResult::kTimeout);

  const auto renewed = producer->RenewParts(producer->segment_id(), std::vector<uint32_t>{1});
  ASSERT_TRUE(renewed.ok()) << renewed.status();
  for (int i = 0; i < 20; ++i) {
    ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
    ASSERT_TRUE(reader->Acquire(kPatience));
  }
  EXPECT_EQ(producer->Stats().evicted_consumers, 1u);
  EXPECT_EQ(producer->consumer_count(), 1u);

  const auto newcomer = Open(Renewed(*producer, *renewed));
  EXPECT_EQ(newcomer->place(), 1u);
  ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  const ReadSlot slot = newcomer->Acquire(kPatience);
  EXPECT_TRUE(slot && IsStamped(slot.payload(), 24));
}

TEST(PartsTest, AnEvictedConsumerIsToldSoAndWhatItHeldIsSaidNotToBeRight) {
  const auto producer = Create(Config(Policy::kSyncReader, 64));
  const auto holder = Open(For(*producer, 1));
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
    ASSERT_TRUE(holder->Acquire(kPatience));
  }
  ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  ReadSlot held = holder->Acquire(kPatience);
  ASSERT_TRUE(held);
  ASSERT_TRUE(producer->RenewParts({}, std::vector<uint32_t>{1}).ok());
  for (int i = 0; i < 8; ++i) ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  EXPECT_EQ(held.Release(), SlotResult::kOverrun);
  EXPECT_EQ(holder->Acquire(kPatience).result(), SlotResult::kCutOff);
}

// Reads in place, and so does not ask before each slot whether it is cut off: nothing of what it expects has changed since.
class EvictedAtTheEndTest : public ::testing::TestWithParam<uint64_t> {
 protected:
  static constexpr int kReadSlots = 3;

  static std::unique_ptr<DataBlockProducer> Create() {
    return shm::Create(Config(Policy::kSyncReader, GetParam()));
  }
  static void WriteWhatIsRead(DataBlockProducer& producer) {
    for (int i = 0; i < kReadSlots; ++i) ASSERT_EQ(PutStamped(producer, kPatience), SlotResult::kOk);
  }
  static void Read(DataBlockConsumer& consumer) {
    for (int i = 0; i < kReadSlots; ++i) ASSERT_TRUE(consumer.Acquire(kPatience));
  }
  // Leaves one slot unread, and writes none behind it.
  static void Evict(DataBlockProducer& producer) {
    ASSERT_EQ(PutStamped(producer, kPatience), SlotResult::kOk);
    ASSERT_TRUE(producer.RenewParts({}, std::vector<uint32_t>{1}).ok());
    producer.Acquire(kPatience).Abort();
  }
  static SlotResult EndOf(DataBlockConsumer& consumer) {
    for (;;) {
      const SlotResult result = consumer.Acquire(kPatience).result();
      if (result != SlotResult::kOk) return result;
    }
  }
};

TEST_P(EvictedAtTheEndTest, ItIsToldSoAlsoWhenItsProducerHasClosed) {
  auto producer = Create();
  const auto consumer = Open(For(*producer, 1));
  WriteWhatIsRead(*producer);
  Read(*consumer);
  Evict(*producer);
  producer.reset();
  EXPECT_EQ(EndOf(*consumer), SlotResult::kCutOff);
  EXPECT_EQ(consumer->Acquire(absl::ZeroDuration()).result(), SlotResult::kCutOff);
}

TEST_P(EvictedAtTheEndTest, ItIsToldSoAlsoWhenItsProducerWasKilled) {
  const SocketPair sockets;
  ChildProcess child([&](const ChildProcess::Line& test) {
    const auto producer = Create();
    if (!SendSegment(sockets.first(), For(*producer, 1), "", kPatience).ok()) return 1;
    test.Await();
    WriteWhatIsRead(*producer);
    test.Signal();
    test.Await();
    Evict(*producer);
    test.Signal();
    test.Await();
    return 2;
  });
  const absl::StatusOr<ReceivedSegment> received = ReceiveSegment(sockets.second(), kPatience);
  ASSERT_TRUE(received.ok()) << received.status();
  const auto consumer = Open(received->descriptors);
  child.line().Signal();
  ASSERT_NE(child.line().Await(), 0);
  Read(*consumer);
  child.line().Signal();
  ASSERT_NE(child.line().Await(), 0);
  child.Kill();
  EXPECT_EQ(EndOf(*consumer), SlotResult::kCutOff);
}

TEST_P(EvictedAtTheEndTest, ItsWaitSetTellsIt) {
  auto producer = Create();
  const auto consumer = Open(For(*producer, 1));
  WriteWhatIsRead(*producer);
  Read(*consumer);
  WaitSet set;
  ASSERT_TRUE(set.Add(*consumer, {.key = 1}).ok());
  Evict(*producer);
  producer.reset();
  SlotResult result = SlotResult::kOk;
  while (result == SlotResult::kOk) {
    ASSERT_EQ(set.Wait(kPatience).outcome, WaitOutcome::kReady);
    result = consumer->Acquire(absl::ZeroDuration()).result();
  }
  EXPECT_EQ(result, SlotResult::kCutOff);
}

INSTANTIATE_TEST_SUITE_P(Sizes, EvictedAtTheEndTest, ::testing::Values(uint64_t{64}, uint64_t{4096}));

TEST(PartsTest, ABlockedAcquireGoesOnWhenAnotherThreadRenewsThePartThatHoldsItUp) {
  const auto producer = Create(Config());
  const auto holder = Open(For(*producer, 0));
  for (int i = 0; i < 4; ++i) ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  std::atomic<bool> blocked = false;
  std::thread dealer([&] {
    while (!blocked) std::this_thread::yield();
    EXPECT_TRUE(producer->RenewParts({}, std::vector<uint32_t>{0}).ok());
    EXPECT_GE(producer->Stats().committed_slots, 4u);
  });
  blocked = true;
  EXPECT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  dealer.join();
}

TEST(PartsTest, WhoComesWithAPartThatWasReplacedIsRefused) {
  const auto producer = Create(Config());
  const ConsumerDescriptors old = For(*producer, 3);
  const auto renewed = producer->RenewParts({}, std::vector<uint32_t>{3});
  ASSERT_TRUE(renewed.ok()) << renewed.status();
  ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  const absl::Status status = DataBlockConsumer::OpenSealed(old).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("has been replaced"));
  EXPECT_NE(Open(Renewed(*producer, *renewed)), nullptr);
}

TEST(PartsTest, APlaceIsRenewedAgainAndAgainAndItsNewestHolderIsWaitedFor) {
  const auto producer = Create(Config());
  std::vector<std::unique_ptr<DataBlockConsumer>> evicted;
  for (int round = 0; round < 10; ++round) {
    const auto renewed = producer->RenewParts({}, std::vector<uint32_t>{0});
    ASSERT_TRUE(renewed.ok()) << renewed.status();
    evicted.push_back(Open(Renewed(*producer, *renewed)));
    for (int i = 0; i < 4; ++i) ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
    ASSERT_EQ(producer->Acquire(absl::Milliseconds(5)).result(), SlotResult::kTimeout);
  }
  EXPECT_EQ(producer->Stats().evicted_consumers, 9u);
}

TEST(PartsTest, WhatCannotBeRenewedIsRefusedByName) {
  ChannelConfig config = Config(Policy::kPipeline);
  const auto producer = Create(config);
  const absl::Status group = producer->RenewParts({}, std::vector<uint32_t>{0}).status();
  EXPECT_TRUE(absl::IsInvalidArgument(group)) << group;
  EXPECT_THAT(std::string(group.message()), HasSubstr("that of group 'workers'"));
  const absl::Status index = producer->RenewParts({}, std::vector<uint32_t>{5}).status();
  EXPECT_TRUE(absl::IsInvalidArgument(index)) << index;
  const absl::Status segment = producer->RenewParts(SegmentId::Random(), std::vector<uint32_t>{1}).status();
  EXPECT_TRUE(absl::IsNotFound(segment)) << segment;
}

// Reads all that comes, through as many segments as there are.
class Follower {
 public:
  Follower(const DataBlockProducer& producer, uint32_t part, const ConsumerOptions& options = {})
      : part_(part), consumer_(Open(For(producer, part), options)) {}

  // Until nothing comes any more, or the segment ends.
  void Read() {
    for (;;) {
      ReadSlot slot = consumer_->Acquire(absl::ZeroDuration());
      if (!slot) {
        end_ = slot.result();
        return;
      }
      wrong_ += IsStamped(slot.payload(), slot.sequence()) && slot.sequence() == next_ + slot.missed_slots()
                    ? 0
                    : 1;
      missed_ += slot.missed_slots();
      next_ = slot.sequence() + 1;
      ++slots_;
    }
  }
  bool at_end() const { return end_ == SlotResult::kProducerClosed; }
  void Follow(const HandedOver& successor) {
    const absl::Status status = consumer_->Follow(*successor.descriptors.ForConsumer(part_));
    ASSERT_TRUE(status.ok()) << status;
    EXPECT_EQ(consumer_->place(), part_);
    EXPECT_EQ(consumer_->segment_id(), successor.segment_id);
    next_ = 0;
  }
  DataBlockConsumer& consumer() { return *consumer_; }
  uint64_t slots() const { return slots_; }
  uint64_t missed() const { return missed_; }
  uint64_t wrong() const { return wrong_; }

 private:
  uint32_t part_;
  std::unique_ptr<DataBlockConsumer> consumer_;
  SlotResult end_ = SlotResult::kOk;
  uint64_t next_ = 0;
  uint64_t slots_ = 0;
  uint64_t missed_ = 0;
  uint64_t wrong_ = 0;
};

class MoveOnTest : public ::testing::TestWithParam<std::tuple<Policy, uint64_t>> {
 protected:
  static ChannelConfig Given() { return Config(std::get<0>(GetParam()), std::get<1>(GetParam())); }
};

TEST_P(MoveOnTest, LivingConsumersReadOnAndALosslessOneLosesNothing) {
  const auto producer = Create(Given());
  Follower follower(*producer, 0);
  std::optional<HandedOver> successor;
  uint64_t written = 0;
  for (int segment = 0; segment < 5; ++segment) {
    for (int i = 0; i < 3; ++i) {
      ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
      ++written;
    }
    producer->RequestMoveOn({}, [&](absl::StatusOr<HandedOver> moved) {
      ASSERT_TRUE(moved.ok()) << moved.status();
      successor = *std::move(moved);
    });
    const SegmentId before = producer->segment_id();
    ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
    ++written;
    ASSERT_TRUE(successor.has_value());
    EXPECT_EQ(producer->predecessor_id(), before);
    EXPECT_EQ(successor->segment_id, producer->segment_id());
    EXPECT_EQ(producer->next_sequence(), 1u);
    follower.Read();
    ASSERT_TRUE(follower.at_end());
    follower.Follow(*successor);
    follower.Read();
    ASSERT_EQ(follower.wrong(), 0u);
  }
  EXPECT_EQ(producer->Stats().committed_slots, written);
  EXPECT_EQ(follower.slots() + follower.missed(), written);
  if (IsLossless(Given().policy)) {
    EXPECT_EQ(follower.missed(), 0u);
  }
}

INSTANTIATE_TEST_SUITE_P(Policies, MoveOnTest,
                         ::testing::Combine(::testing::ValuesIn(pylabhub::testing::kEveryPolicy),
                                            ::testing::Values(64, 4096)),
                         [](const auto& info) {
                           return std::string(NameOf(std::get<0>(info.param))) + "_" +
                                  std::to_string(std::get<1>(info.param));
                         });

TEST(MoveOnPlacesTest, NothingIsKeptForTheExceptedAndTheyAreGivenNoLaterSlot) {
  const auto producer = Create(Config());
  Follower heir(*producer, 0);
  Follower excepted(*producer, 1);
  ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  std::optional<HandedOver> successor;
  producer->RequestMoveOn({1}, [&](absl::StatusOr<HandedOver> moved) { successor = *std::move(moved); });
  for (int i = 0; i < 4; ++i) ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  EXPECT_EQ(producer->Acquire(kShort).result(), SlotResult::kTimeout) << "the heir's place is kept";
  heir.Read();
  ASSERT_TRUE(heir.at_end());
  heir.Follow(*successor);
  heir.Read();
  for (int i = 0; i < 20; ++i) {
    ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
    heir.Read();
  }
  EXPECT_EQ(heir.slots(), 25u);
  EXPECT_EQ(heir.missed(), 0u);
  excepted.Read();
  EXPECT_TRUE(excepted.at_end());
  EXPECT_EQ(excepted.slots(), 1u);
}

TEST(MoveOnPlacesTest, ABlockedAcquireMovesOnToo) {
  const auto producer = Create(Config());
  const auto holder = Open(For(*producer, 0));
  for (int i = 0; i < 4; ++i) ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  const SegmentId before = producer->segment_id();
  std::atomic<bool> moved_on = false;
  std::thread dealer([&] {
    producer->RequestMoveOn({0}, [&](const absl::StatusOr<HandedOver>& moved) { moved_on = moved.ok(); });
  });
  EXPECT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  dealer.join();
  EXPECT_TRUE(moved_on);
  EXPECT_NE(producer->segment_id(), before);
  EXPECT_TRUE(absl::IsNotFound(producer->RenewParts(before, std::vector<uint32_t>{0}).status()));
  EXPECT_EQ(producer->DuplicateDescriptors()->segment_id, producer->segment_id());
}

TEST(MoveOnPlacesTest, TheZoneGoesAlong) {
  ChannelConfig config = Config();
  config.zone_bytes = 16;
  const auto producer = Create(config);
  ASSERT_TRUE(producer->WriteZone(std::as_bytes(std::span("gain = 3", 8))).ok());
  producer->RequestMoveOn({}, [](const absl::StatusOr<HandedOver>& moved) { EXPECT_TRUE(moved.ok()); });
  ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  const auto consumer = Open(For(*producer));
  char zone[8];
  EXPECT_EQ(*consumer->ReadZone(std::as_writable_bytes(std::span(zone))), 1u);
  EXPECT_EQ(std::string(zone, 8), "gain = 3");
}

TEST(MoveOnPlacesTest, AZoneThatIsWrittenAfterTheRequestIsInTheNewMemoryOnly) {
  ChannelConfig config = Config();
  config.zone_bytes = 16;
  const auto producer = Create(config);
  const auto excepted = Open(For(*producer, 1));
  producer->RequestMoveOn({1}, [](const absl::StatusOr<HandedOver>& moved) { EXPECT_TRUE(moved.ok()); });
  ASSERT_TRUE(producer->WriteZone(std::as_bytes(std::span("gain = 3", 8))).ok());
  EXPECT_EQ(excepted->zone_version(), 0u);
  EXPECT_EQ(Open(For(*producer, 2))->zone_version(), 1u);
}

TEST(MoveOnPlacesTest, AnHeirThatIsSlowToComeIsKeptThroughASecondMove) {
  const auto producer = Create(Config());
  Follower heir(*producer, 0);
  std::vector<HandedOver> successors;
  for (int move = 0; move < 2; ++move) {
    ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
    producer->RequestMoveOn(
        {}, [&](absl::StatusOr<HandedOver> moved) { successors.push_back(*std::move(moved)); });
  }
  // All that there is room for while the heir has yet to come.
  for (int i = 0; i < 4; ++i) ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  ASSERT_EQ(successors.size(), 2u);
  for (const HandedOver& successor : successors) {
    heir.Read();
    heir.Follow(successor);
    // It is at neither end of its way, and lives.
    EXPECT_EQ(producer->Acquire(kShort).result(), SlotResult::kTimeout);
  }
  heir.Read();
  EXPECT_EQ(heir.slots(), 6u);
  EXPECT_EQ(heir.missed(), 0u);
  EXPECT_EQ(heir.wrong(), 0u);
}

TEST(NamedChannelTest, AChannelWithANameHasNoPartsToDealOut) {
  pylabhub::testing::ShmFolder folder;
  const auto producer =
      DataBlockProducer::Create({.channel = "parts.test", .slot_bytes = 64, .directory = folder.path()});
  ASSERT_TRUE(producer.ok()) << producer.status();
  EXPECT_TRUE(absl::IsFailedPrecondition((*producer)->DuplicateDescriptors().status()));
  EXPECT_TRUE(absl::IsFailedPrecondition((*producer)->RenewParts({}, {}).status()));
  absl::Status moved;
  (*producer)->RequestMoveOn({}, [&](const absl::StatusOr<HandedOver>& answer) { moved = answer.status(); });
  EXPECT_TRUE(absl::IsFailedPrecondition(moved)) << moved;
}

// The counter that every consumer may write.
class Bell {
 public:
  explicit Bell(const DataBlockProducer& producer)
      : fd_(*DuplicateDescriptor(producer.descriptors()->bell)),
        word_(static_cast<std::atomic<uint64_t>*>(
            mmap(nullptr, kBellBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), 0))) {}
  ~Bell() { munmap(static_cast<void*>(word_), kBellBytes); }
  std::atomic<uint64_t>& word() const { return *word_; }

 private:
  UniqueFd fd_;
  std::atomic<uint64_t>* word_;
};

TEST(BellTest, ANewcomerIsSeenThoughTheBellIsSetBackBehindIt) {
  const auto producer = Create(Config());
  const Bell bell(*producer);
  ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  const uint64_t before = bell.word();
  const auto newcomer = Open(For(*producer, 3));
  bell.word() = before;
  // It reads nothing: the producer writes on until the turn of its part has come, and then waits for it.
  int written = 0;
  while (PutStamped(*producer, kShort) == SlotResult::kOk) ASSERT_LT(++written, 100);
  uint64_t next = 1;
  while (const ReadSlot slot = newcomer->Acquire(absl::ZeroDuration())) {
    EXPECT_TRUE(IsStamped(slot.payload(), slot.sequence()));
    EXPECT_EQ(slot.sequence(), next + slot.missed_slots());
    next = slot.sequence() + 1;
  }
  // Now it is known: nothing more is lost.
  for (int i = 0; i < 4; ++i) ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  EXPECT_EQ(producer->Acquire(kShort).result(), SlotResult::kTimeout);
  for (int i = 0; i < 4; ++i) {
    const ReadSlot slot = newcomer->Acquire(kPatience);
    ASSERT_TRUE(slot);
    EXPECT_EQ(slot.missed_slots(), 0u);
  }
}

TEST(BellTest, ARingThatNothingIsBehindIsCountedAndDoesNotStopTheProducer) {
  const auto producer = Create(Config());
  const auto reader = Open(For(*producer, 0));
  const Bell bell(*producer);
  for (int i = 0; i < 100; ++i) {
    bell.word() += 1'000;
    ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
    const ReadSlot slot = reader->Acquire(kPatience);
    ASSERT_TRUE(slot);
    EXPECT_EQ(slot.missed_slots(), 0u);
  }
  EXPECT_GT(producer->Stats().invalid_peer_values, 0u);
}

TEST(WholeSegmentTest, AllPartsOfALargeChannelPassInSeveralParcels) {
  ChannelConfig config = Config();
  config.max_consumers = 300;
  const auto producer = Create(config);
  SocketPair sockets;
  std::thread sender([&] {
    EXPECT_TRUE(SendWholeSegment(sockets.first(), *producer->descriptors(), "parts.test", kPatience).ok());
  });
  const auto received = ReceiveWholeSegment(sockets.second(), kPatience);
  sender.join();
  ASSERT_TRUE(received.ok()) << received.status();
  EXPECT_EQ(received->note, "parts.test");
  ASSERT_EQ(received->descriptors.parts.size(), 300u);
  const auto consumer = Open(*received->descriptors.ForConsumer(299));
  EXPECT_EQ(consumer->place(), 299u);
}

// What it exits with that may have so many descriptors and creates a channel of 1,024 consumers.
int CreateLargeChannel(rlim_t soft, rlim_t hard) {
  ChildProcess child([&](const ChildProcess::Line&) {
    const rlimit limit = {.rlim_cur = soft, .rlim_max = hard};
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) return 3;
    ChannelConfig config = Config(Policy::kSyncReader, 64);
    config.max_consumers = 1'024;
    const auto producer = DataBlockProducer::CreateSealed(config);
    if (producer.ok()) return 0;
    const bool says_so = absl::StrContains(producer.status().message(), "ulimit -Hn");
    return absl::IsResourceExhausted(producer.status()) && says_so ? 1 : 2;
  });
  return child.Wait();
}

TEST(DescriptorLimitTest, TheSoftLimitIsRaisedForAThousandConsumersAndAHardOneThatIsTooLowIsNamed) {
  EXPECT_EQ(CreateLargeChannel(1'024, 8'192), 0);
  EXPECT_EQ(CreateLargeChannel(1'024, 1'024), 1);
}

}  // namespace
}  // namespace pylabhub::shm
