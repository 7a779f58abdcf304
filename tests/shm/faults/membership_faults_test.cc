// Faults of an earlier system (docs/tests.md lists all 21), each with a test that would have caught it: those of who is there
// and who is not.
#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "shm/data_block_consumer.h"
#include "shm/data_block_producer.h"
#include "tests/shm/faults/fault_fixture.h"
#include "tests/support/child_process.h"

namespace pylabhub::shm {
namespace {

using ::pylabhub::testing::ChildProcess;

// Opens the channel, says so, then reads a slot and holds it until it is killed.
int HoldASlot(const std::string& directory, const ChildProcess::Line& test) {
  auto consumer = DataBlockConsumer::Open(kBlock, {.directory = directory});
  if (!consumer.ok()) return 1;
  test.Signal();
  const ReadSlot held = (*consumer)->Acquire(kPatience);
  test.Signal();
  test.Await();
  return 2;
}

// Then, the one that died went on being waited for, and no clean-up helped.
TEST_F(FaultTest, F06OneCrashedConsumerOfSeveralHoldsUpNobody) {
  const auto producer = Create(Config(Policy::kSyncReader));
  const auto first = Open();
  ChildProcess dies([&](const ChildProcess::Line& test) { return HoldASlot(folder_.path(), test); });
  ASSERT_NE(dies.line().Await(), 0);
  const auto last = Open();
  for (int slot = 0; slot < 4; ++slot) {
    PutNumbers(*producer, slot, slot + 1);
    if (slot == 0) {
      ASSERT_NE(dies.line().Await(), 0);
    }
    ASSERT_EQ(Get(*first), std::to_string(slot));
    ASSERT_EQ(Get(*last), std::to_string(slot));
  }
  EXPECT_EQ(Put(*producer, "no room", absl::ZeroDuration()), SlotResult::kTimeout);
  dies.Kill();
  for (int slot = 4; slot < 20; ++slot) {
    PutNumbers(*producer, slot, slot + 1);
    ASSERT_EQ(Get(*first), std::to_string(slot));
    ASSERT_EQ(Get(*last), std::to_string(slot));
  }
  EXPECT_EQ(producer->Stats().evicted_consumers, 1u);
  EXPECT_EQ(producer->consumer_count(), 2u);
}

// Then, a slot in dead hands stayed locked, and the diagnosis called it healthy.
TEST_F(FaultTest, F07AReaderThatDiedHoldingASlotIsSeenToBeDeadAndHoldsUpNobody) {
  for (const uint64_t slot_bytes : {uint64_t{64}, uint64_t{8192}}) {
    const auto producer = Create(Config(Policy::kSyncReader, slot_bytes));
    ChildProcess dies([&](const ChildProcess::Line& test) { return HoldASlot(folder_.path(), test); });
    ASSERT_NE(dies.line().Await(), 0);
    PutNumbers(*producer, 0, 4);
    ASSERT_NE(dies.line().Await(), 0);
    EXPECT_EQ(producer->consumer_count(), 1u);
    dies.Kill();
    EXPECT_EQ(producer->consumer_count(), 0u);
    PutNumbers(*producer, 4, 20);
    EXPECT_EQ(producer->Stats().evicted_consumers, 1u);
  }
}

// Then, there were eight places, and who came ninth got a handle all the same.
TEST_F(FaultTest, F08EveryConsumerThatGetsAHandleReadsAndTheOthersAreRefused) {
  ChannelConfig config = Config(Policy::kSyncReader);
  config.max_consumers = 20;
  const auto producer = Create(config);
  std::vector<std::unique_ptr<DataBlockConsumer>> consumers;
  for (int i = 0; i < 20; ++i) consumers.push_back(Open());
  EXPECT_TRUE(absl::IsResourceExhausted(TryOpen().status()));
  for (int slot = 0; slot < 8; ++slot) {
    PutNumbers(*producer, slot, slot + 1);
    for (const auto& consumer : consumers) ASSERT_EQ(Get(*consumer), std::to_string(slot));
  }
}

// Then, two handles in one process were one participant: the second's end was the first's.
TEST_F(FaultTest, F12TwoHandlesInOneProcessAreTwoParticipants) {
  const auto producer = Create(Config(Policy::kSyncReader));
  auto first = Open();
  const auto second = Open();
  EXPECT_EQ(producer->consumer_count(), 2u);
  PutNumbers(*producer, 0, 2);
  EXPECT_EQ(Get(*first), "0");
  first.reset();
  EXPECT_EQ(producer->consumer_count(), 1u);
  PutNumbers(*producer, 2, 4);
  EXPECT_EQ(Put(*producer, "no room", absl::ZeroDuration()), SlotResult::kTimeout)
      << "the second is forgotten";
  for (int slot = 0; slot < 4; ++slot) EXPECT_EQ(Get(*second), std::to_string(slot));
}

// Then, a dead participant whose pid somebody else had by now was alive, and a living one with an unknown pid was dead.
TEST_F(FaultTest, F12APidSaysNothingAboutWhoLives) {
  const auto producer = Create(Config(Policy::kSyncReader));
  const auto living = Open();
  ChildProcess dies([&](const ChildProcess::Line& test) { return HoldASlot(folder_.path(), test); });
  ASSERT_NE(dies.line().Await(), 0);
  const Mapping mapping = ControlOf(*producer);
  const ControlView control = *ViewControl(mapping.bytes());
  control.entry(0).pid = 1 << 30;   // nobody has that
  control.entry(1).pid = getpid();  // reused by this very process
  PutNumbers(*producer, 0, 4);
  ASSERT_NE(dies.line().Await(), 0);
  dies.Kill();
  EXPECT_EQ(producer->consumer_count(), 1u);
  EXPECT_EQ(Put(*producer, "no room", absl::Milliseconds(50)), SlotResult::kTimeout)
      << "the living is not waited for";
  for (int slot = 0; slot < 4; ++slot) EXPECT_EQ(Get(*living), std::to_string(slot));
  PutNumbers(*producer, 4, 5);
  EXPECT_EQ(producer->Stats().evicted_consumers, 1u);
}

// Then, a pid from another namespace named another process, or none.
TEST_F(FaultTest, F12AConsumerInAnotherPidNamespaceLivesAndDiesLikeAnyOther) {
  const auto producer = Create(Config(Policy::kSyncReader));
  ChildProcess elsewhere([&](const ChildProcess::Line& test) {
    if (unshare(CLONE_NEWPID) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWPID) != 0) {
      test.Signal('n');
      return 0;
    }
    // The first process of the new namespace; it ends with this one.
    ChildProcess inside(
        [&](const ChildProcess::Line&) { return getpid() == 1 ? HoldASlot(folder_.path(), test) : 3; });
    return inside.Wait();
  });
  const char answer = elsewhere.line().Await();
  if (answer == 'n') GTEST_SKIP() << "this process may not make a namespace";
  ASSERT_NE(answer, 0) << "exit code " << elsewhere.Wait();
  EXPECT_EQ(producer->consumer_count(), 1u);
  PutNumbers(*producer, 0, 4);
  ASSERT_NE(elsewhere.line().Await(), 0);
  EXPECT_EQ(Put(*producer, "no room", absl::Milliseconds(50)), SlotResult::kTimeout);
  elsewhere.Kill();
  PutNumbers(*producer, 4, 20);
  EXPECT_EQ(producer->Stats().evicted_consumers, 1u);
}

}  // namespace
}  // namespace pylabhub::shm
