// What a WaitSet tells, and in which order. How it sleeps is wait_set_sleep_test.cc's.
#include "shm/wait_set.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "shm/data_block_consumer.h"
#include "shm/data_block_producer.h"
#include "tests/shm/channel_bundle.h"
#include "tests/support/child_process.h"
#include "tests/support/stamped_slots.h"

namespace pylabhub::shm {
namespace {

using ::pylabhub::testing::ChildProcess;
using ::pylabhub::testing::PutStamped;

constexpr absl::Duration kPatience = absl::Seconds(20);
constexpr absl::Duration kNow = absl::ZeroDuration();

// The keys of the next `count` members that are told, each of which has one slot taken.
std::vector<uint64_t> TakeInOrder(WaitSet& set, int count) {
  std::vector<uint64_t> keys;
  for (int i = 0; i < count; ++i) {
    const WaitResult next = set.Wait(kPatience);
    if (next.outcome != WaitOutcome::kReady) break;
    EXPECT_TRUE(next.consumer->Acquire(kNow));
    keys.push_back(next.key);
  }
  return keys;
}

TEST(WaitSetTest, AMemberWithASlotIsToldByItsKeyAndNothingIsTaken) {
  ChannelBundle channels(2);
  WaitSet set;
  ASSERT_TRUE(set.Add(channels.consumer(0), {.key = 70}).ok());
  ASSERT_TRUE(set.Add(channels.consumer(1), {.key = 71}).ok());
  EXPECT_EQ(set.size(), 2u);
  EXPECT_EQ(set.Wait(kNow).outcome, WaitOutcome::kTimeout);
  channels.Put(1);
  for (int i = 0; i < 3; ++i) {
    const WaitResult next = set.Wait(kPatience);
    ASSERT_EQ(next.outcome, WaitOutcome::kReady);
    EXPECT_EQ(next.consumer, &channels.consumer(1));
    EXPECT_EQ(next.key, 71u);
  }
  EXPECT_EQ(channels.Take(1), SlotResult::kOk);
  EXPECT_EQ(set.Wait(kNow).outcome, WaitOutcome::kTimeout);
}

TEST(WaitSetTest, TheHighestPriorityComesFirstHoweverBusyItIs) {
  ChannelBundle channels(3);
  WaitSet set;
  ASSERT_TRUE(set.Add(channels.consumer(0), {.priority = 0, .key = 0}).ok());
  ASSERT_TRUE(set.Add(channels.consumer(1), {.priority = 10, .key = 1}).ok());
  ASSERT_TRUE(set.Add(channels.consumer(2), {.priority = -5, .key = 2}).ok());
  for (size_t i = 0; i < 3; ++i) channels.Put(i, 2);
  EXPECT_EQ(TakeInOrder(set, 3), (std::vector<uint64_t>{1, 1, 0}));
  channels.Put(1);
  EXPECT_EQ(TakeInOrder(set, 4), (std::vector<uint64_t>{1, 0, 2, 2}));
}

TEST(WaitSetTest, EqualsAreToldInTurn) {
  ChannelBundle channels(3);
  WaitSet set;
  channels.JoinAll(set);
  for (size_t i = 0; i < 3; ++i) channels.Put(i, 4);
  EXPECT_EQ(TakeInOrder(set, 4), (std::vector<uint64_t>{0, 1, 2, 0}));
  // The turn is not lost when somebody who had it leaves.
  ASSERT_TRUE(set.Remove(channels.consumer(0)).ok());
  EXPECT_EQ(TakeInOrder(set, 5), (std::vector<uint64_t>{1, 2, 1, 2, 1}));
}

TEST(WaitSetTest, AMemberWhoseSlotIsHeldIsNotReadyBeforeItIsReleased) {
  ChannelBundle channels(2);
  WaitSet set;
  channels.JoinAll(set);
  channels.Put(0, 2);
  ReadSlot held = channels.consumer(0).Acquire(kNow);
  ASSERT_TRUE(held);
  EXPECT_EQ(set.Wait(absl::Milliseconds(1)).outcome, WaitOutcome::kTimeout);
  channels.Put(1);
  EXPECT_EQ(set.Wait(kPatience).key, 1u);
  EXPECT_EQ(channels.Take(1), SlotResult::kOk);
  held.Release();
  EXPECT_EQ(set.Wait(kPatience).key, 0u);
}

TEST(WaitSetTest, AWakeBeforeTheWaitIsNotLostAndTwoCountAsOne) {
  ChannelBundle channels(1);
  WaitSet set;
  channels.JoinAll(set);
  channels.Put(0);
  set.Wake();
  set.Wake();
  EXPECT_EQ(set.Wait(kPatience).outcome, WaitOutcome::kWoken) << "before any member";
  EXPECT_EQ(set.Wait(kPatience).outcome, WaitOutcome::kReady);
  EXPECT_EQ(channels.Take(0), SlotResult::kOk);
  EXPECT_EQ(set.Wait(kNow).outcome, WaitOutcome::kTimeout);
}

TEST(WaitSetTest, AWakeFromAnotherThreadBringsWhatWasWrittenBefore) {
  WaitSet set({.spin = absl::ZeroDuration()});  // with no members it waits for a Wake
  int told = 0;
  std::atomic<int> asked = 0;
  std::thread caller([&] {
    for (int i = 1; i <= 1000; ++i) {
      asked.wait(i - 1);
      told = i;
      set.Wake();
    }
  });
  const absl::Time start = absl::Now();
  for (int i = 1; i <= 1000; ++i) {
    asked = i;
    asked.notify_one();
    ASSERT_EQ(set.Wait(kPatience).outcome, WaitOutcome::kWoken);
    ASSERT_EQ(told, i);
  }
  caller.join();
  EXPECT_LT(absl::Now() - start, absl::Seconds(5))
      << "a lost call takes 10 ms, until the set looks by itself";
}

WaitSet* set_of_the_handler = nullptr;

TEST(WaitSetTest, ASignalHandlerMayWake) {
  ChannelBundle channels(1);
  WaitSet set;
  channels.JoinAll(set);
  set_of_the_handler = &set;
  struct sigaction action = {};
  struct sigaction before = {};
  action.sa_handler = [](int) { set_of_the_handler->Wake(); };
  ASSERT_EQ(sigaction(SIGUSR1, &action, &before), 0);
  const pthread_t waiting = pthread_self();
  for (int i = 0; i < 20; ++i) {
    std::thread caller([&] { pthread_kill(waiting, SIGUSR1); });
    EXPECT_EQ(set.Wait(kPatience).outcome, WaitOutcome::kWoken);
    caller.join();
  }
  sigaction(SIGUSR1, &before, nullptr);
}

TEST(WaitSetTest, TheTimeoutIsKeptHoweverOftenSomethingHappensInBetween) {
  ChannelBundle channels(1, Policy::kPublishSubscribe);
  for (const absl::Duration spin : {absl::ZeroDuration(), absl::Microseconds(10), absl::InfiniteDuration()}) {
    WaitSet set({.spin = spin});
    channels.JoinAll(set);
    channels.Put(0);
    const ReadSlot held = channels.consumer(0).Acquire(kPatience);
    ASSERT_TRUE(held);
    std::atomic<bool> stop = false;
    // The words that are slept on change all the time, and nobody is ready.
    std::thread writer([&] {
      while (!stop) channels.Put(0);
    });
    const absl::Time start = absl::Now();
    EXPECT_EQ(set.Wait(absl::Milliseconds(40)).outcome, WaitOutcome::kTimeout);
    const absl::Duration elapsed = absl::Now() - start;
    stop = true;
    writer.join();
    EXPECT_GE(elapsed, absl::Milliseconds(39));
    EXPECT_LT(elapsed, absl::Seconds(2));
  }
}

TEST(WaitSetTest, AMemberWhoseProducerHasClosedIsToldOnceAndAgainWhenThereIsANextOne) {
  ChannelBundle channels(2);
  WaitSet set;
  channels.JoinAll(set);
  channels.Put(0);
  channels.Close(0);
  EXPECT_EQ(set.Wait(kPatience).key, 0u);
  EXPECT_EQ(channels.Take(0), SlotResult::kOk) << "what was written is read first";
  EXPECT_EQ(set.Wait(kPatience).outcome, WaitOutcome::kReady);
  EXPECT_EQ(channels.Take(0), SlotResult::kProducerClosed);
  EXPECT_EQ(set.Wait(absl::Milliseconds(15)).outcome, WaitOutcome::kTimeout) << "the caller knows";

  channels.Reopen(0);
  ASSERT_EQ(set.Wait(kPatience).outcome, WaitOutcome::kReady);
  EXPECT_EQ(channels.Take(0), SlotResult::kProducerClosed);
  ASSERT_TRUE(channels.consumer(0).Follow(kNow).ok());
  EXPECT_EQ(set.Wait(kNow).outcome, WaitOutcome::kTimeout);
  channels.Put(0);
  EXPECT_EQ(set.Wait(kPatience).key, 0u);
  EXPECT_EQ(channels.Take(0), SlotResult::kOk);
  EXPECT_EQ(channels.consumer(0).segment_id(), channels.producer(0).segment_id());
}

TEST(WaitSetTest, ANextProducerThatFollowHasRefusedIsNotToldAgain) {
  ChannelBundle channels(1);
  auto typed = DataBlockConsumer::Open(
      ChannelBundle::Name(0),
      {.expected_schema = channels.consumer(0).schema(), .directory = channels.folder()});
  ASSERT_TRUE(typed.ok()) << typed.status();
  WaitSet set;
  ASSERT_TRUE(set.Add(**typed).ok());
  channels.Close(0);
  EXPECT_EQ((*typed)->Acquire(kPatience).result(), SlotResult::kProducerClosed);
  const Schema other{.name = "other",
                     .record_bytes = 8,
                     .fields = {{.name = "value", .type = ScalarType::kUint64, .offset_bytes = 0}}};
  {
    auto stranger = DataBlockProducer::Create({.channel = ChannelBundle::Name(0),
                                               .slot_bytes = 64,
                                               .schema = other,
                                               .directory = channels.folder()});
    ASSERT_TRUE(stranger.ok()) << stranger.status();
    ASSERT_EQ(set.Wait(kPatience).outcome, WaitOutcome::kReady);
    EXPECT_TRUE(absl::IsFailedPrecondition((*typed)->Follow(kNow)));
    EXPECT_EQ(set.Wait(absl::Milliseconds(15)).outcome, WaitOutcome::kTimeout);
  }
  channels.Reopen(0);
  EXPECT_EQ(set.Wait(kPatience).outcome, WaitOutcome::kReady);
}

TEST(WaitSetTest, AProducerThatIsKilledIsToldAlthoughAnEqualIsAlwaysBusy) {
  ChannelBundle channels(1);
  ChildProcess writer([&](const ChildProcess::Line& parent) {
    auto producer = channels.Create(1);
    parent.Signal();
    parent.Await();
    if (PutStamped(*producer, kPatience) != SlotResult::kOk) return 1;
    parent.Signal();
    parent.Await();
    return 1;
  });
  writer.line().Await();
  auto orphan = channels.Open(1);
  writer.line().Signal();
  writer.line().Await();
  WaitSet set;
  channels.JoinAll(set);
  ASSERT_TRUE(set.Add(*orphan, {.key = 1}).ok());
  channels.Put(0);
  EXPECT_EQ(TakeInOrder(set, 2), (std::vector<uint64_t>{0, 1}));

  writer.Kill();
  const absl::Time start = absl::Now();
  WaitResult next;
  do {
    channels.Put(0);
    next = set.Wait(kPatience);
    EXPECT_TRUE(next.key == 1 || channels.Take(0) == SlotResult::kOk);
  } while (next.key == 0 && absl::Now() - start < kPatience);
  EXPECT_EQ(next.key, 1u);
  EXPECT_EQ(orphan->Acquire(kNow).result(), SlotResult::kProducerDead) << "at once: the set knows already";
}

TEST(WaitSetTest, AConsumerIsInOneSetAndLeavesItWhenItIsRemovedOrDestroyed) {
  ChannelBundle channels(2);
  auto set = std::make_unique<WaitSet>();
  WaitSet other;
  channels.JoinAll(*set);
  EXPECT_TRUE(absl::IsAlreadyExists(set->Add(channels.consumer(0))));
  EXPECT_TRUE(absl::IsAlreadyExists(other.Add(channels.consumer(0))));
  EXPECT_TRUE(absl::IsNotFound(other.Remove(channels.consumer(0))));
  channels.Put(0);
  channels.Put(1);
  channels.Leave(0);
  EXPECT_EQ(set->size(), 1u);
  EXPECT_EQ(set->Wait(kPatience).key, 1u);
  ASSERT_TRUE(set->Remove(channels.consumer(1)).ok());
  EXPECT_EQ(set->Wait(kNow).outcome, WaitOutcome::kTimeout);
  ASSERT_TRUE(set->Add(channels.consumer(1)).ok());
  set.reset();
  ASSERT_TRUE(other.Add(channels.consumer(1), {.key = 5}).ok());
  EXPECT_EQ(other.Wait(kPatience).key, 5u);
}

TEST(WaitSetTest, AChildOfForkHasNoSet) {
  ChannelBundle channels(2);
  auto set = std::make_unique<WaitSet>(WaitOptions{.spin = absl::ZeroDuration()});
  ASSERT_TRUE(set->Add(channels.consumer(0)).ok());
  ChildProcess child([&](const ChildProcess::Line&) {
    if (set->Wait(kPatience).outcome != WaitOutcome::kForked) return 1;
    if (!absl::IsFailedPrecondition(set->Add(channels.consumer(1)))) return 2;
    if (!absl::IsNotFound(set->Remove(channels.consumer(0)))) return 3;
    WaitSet own;
    if (!absl::IsFailedPrecondition(own.Add(channels.consumer(1)))) return 4;
    channels.Leave(0);
    if (set->size() != 0) return 5;
    set.reset();
    return 0;
  });
  EXPECT_EQ(child.Wait(), 0);
  channels.Put(0);
  EXPECT_EQ(set->Wait(kPatience).outcome, WaitOutcome::kReady);
}

}  // namespace
}  // namespace pylabhub::shm
