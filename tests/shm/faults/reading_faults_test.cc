// Faults of an earlier system (docs/tests.md lists all 21), each with a test that would have caught it: those of who reads
// and waits.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "shm/data_block_consumer.h"
#include "shm/data_block_producer.h"
#include "shm/os/deadline.h"
#include "tests/shm/faults/fault_fixture.h"
#include "tests/support/child_process.h"
#include "tests/support/every_policy.h"
#include "tests/support/stamped_slots.h"

namespace pylabhub::shm {
namespace {

using ::pylabhub::testing::ChildProcess;
using ::pylabhub::testing::IsStamped;
using ::pylabhub::testing::PutStamped;

// Then, a reader came back to the same slot as often as it asked.
TEST_F(FaultTest, F05ACorruptSlotIsReportedOnceAndTheReaderGoesOn) {
  for (const Policy policy : pylabhub::testing::kEveryPolicy) {
    ChannelConfig config = Config(policy);
    config.checksum = Checksum::kEnforced;
    const auto producer = Create(config);
    const auto consumer = Open({.order = ReadOrder::kNext});
    PutNumbers(*producer, 0, 4);
    const Mapping data = DataOf(*producer);
    // Of one the payload, of another what describes it.
    PayloadOf(data, 1)[0] ^= std::byte{1};
    CellOf(data, 2).payload_bytes = UINT64_MAX;
    EXPECT_EQ(Get(*consumer), "0");
    EXPECT_EQ(Get(*consumer), "corrupt");
    EXPECT_EQ(Get(*consumer), "corrupt");
    EXPECT_EQ(Get(*consumer), "3") << NameOf(policy);
    EXPECT_EQ(Get(*consumer, absl::ZeroDuration()), "timeout");
    EXPECT_EQ(consumer->Stats().corrupt_slots, 2u);
    PutNumbers(*producer, 4, 8);
    for (int slot = 4; slot < 8; ++slot) EXPECT_EQ(Get(*consumer), std::to_string(slot));
  }
}

// Then, a reader that was overtaken between two looks took the new number with the old data, or the other way round.
TEST_F(FaultTest, F11ALappedReaderNeverLabelsOldDataWithANewNumber) {
  for (const uint64_t slot_bytes : {uint64_t{64}, uint64_t{8192}}) {
    const auto producer = Create(Config(Policy::kPublishSubscribe, slot_bytes, /*capacity_slots=*/2));
    const auto consumer = Open();
    std::atomic<bool> stop = false;
    std::thread writer([&] {
      while (!stop) ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
    });
    uint64_t missed = 0;
    uint64_t next = 0;
    // A machine that is busy with other things gives the two little time together: fewer must do then.
    const Deadline enough(absl::Seconds(5));
    for (uint64_t read = 0; read < (enough.passed() ? 100 : 20'000) || missed == 0; ++read) {
      ReadSlot slot = consumer->Acquire(kPatience);
      ASSERT_TRUE(slot) << NameOf(slot.result());
      const bool right = IsStamped(slot.payload(), slot.sequence());
      ASSERT_EQ(slot.sequence(), next + slot.missed_slots());
      next = slot.sequence() + 1;
      missed += slot.missed_slots();
      ASSERT_EQ(slot.Release(), SlotResult::kOk);
      ASSERT_TRUE(right) << "slot " << next - 1 << " carries another one's bytes";
    }
    stop = true;
    writer.join();
    EXPECT_GT(missed, 0u) << "nobody was lapped";
  }
}

// Then, what a reader had in its hands went away with the producer's object.
TEST_F(FaultTest, F16AHandleAndItsSlotOutliveTheirProducer) {
  for (const uint64_t slot_bytes : {uint64_t{64}, uint64_t{8192}}) {
    auto producer = Create(Config(Policy::kSyncReader, slot_bytes));
    const auto consumer = Open();
    PutNumbers(*producer, 0, 2);
    std::optional<ReadSlot> held = consumer->Acquire(kPatience);
    producer.reset();
    EXPECT_EQ(Text(*held), "0");
    EXPECT_EQ(held->Release(), SlotResult::kOk);
    held.reset();
    EXPECT_EQ(Get(*consumer), "1");
    EXPECT_EQ(Get(*consumer), "producer closed");
    EXPECT_FALSE(consumer->ProducerIsAlive());
    EXPECT_EQ(consumer->config().slot_bytes, slot_bytes);
  }
}

TEST_F(FaultTest, F16AHandleThatGoesBeforeItsSlotEndsTheProcess) {
  folder_.AllowLeftovers();
  ChildProcess writer([&](const ChildProcess::Line&) {
    auto producer = Create(Config(Policy::kSyncReader));
    const WriteSlot slot = producer->Acquire(kPatience);
    producer.reset();
    return 0;
  });
  EXPECT_NE(writer.Wait(), 0);
  const auto producer = Create(Config(Policy::kSyncReader));
  PutNumbers(*producer, 0, 1);
  ChildProcess reader([&](const ChildProcess::Line& test) {
    auto consumer = Open();
    test.Signal();
    const ReadSlot slot = consumer->Acquire(kPatience);
    consumer.reset();
    return 0;
  });
  ASSERT_NE(reader.line().Await(), 0);
  PutNumbers(*producer, 1, 2);
  EXPECT_NE(reader.Wait(), 0);
}

// Then, one deadline was given to each of two waits, one after the other.
TEST_F(FaultTest, F16ATimeoutIsSpentOnce) {
  constexpr absl::Duration kTimeout = absl::Milliseconds(300);
  ChannelConfig config = Config(Policy::kSyncReader);
  config.min_consumers = 1;
  const auto waits_for_a_consumer = Create(config);
  const auto spent = [&](const auto& wait) {
    // A busy machine makes a wait longer, but not every time.
    absl::Duration shortest = absl::InfiniteDuration();
    for (int attempt = 0; attempt < 5 && shortest >= 2 * kTimeout; ++attempt) {
      const auto start = std::chrono::steady_clock::now();
      EXPECT_EQ(wait(), SlotResult::kTimeout);
      shortest = std::min(shortest, absl::FromChrono(std::chrono::steady_clock::now() - start));
    }
    return shortest;
  };
  const absl::Duration before_the_first = spent([&] { return Put(*waits_for_a_consumer, "", kTimeout); });
  EXPECT_GE(before_the_first, kTimeout);
  EXPECT_LT(before_the_first, 2 * kTimeout);

  const auto consumer = Open();
  PutNumbers(*waits_for_a_consumer, 0, 4);
  const absl::Duration when_full = spent([&] { return Put(*waits_for_a_consumer, "", kTimeout); });
  EXPECT_GE(when_full, kTimeout);
  EXPECT_LT(when_full, 2 * kTimeout);

  for (int slot = 0; slot < 4; ++slot) EXPECT_EQ(Get(*consumer), std::to_string(slot));
  const absl::Duration when_empty = spent([&] { return consumer->Acquire(kTimeout).result(); });
  EXPECT_GE(when_empty, kTimeout);
  EXPECT_LT(when_empty, 2 * kTimeout);
}

// Then, an idle reader slept and looked, slept and looked, and was 80 to 350 us late. Here it sleeps in the kernel until it is
// woken: between two looks at its producer's life it makes no system call, and the producer makes one to wake it.
TEST_F(FaultTest, F21AnIdleReaderSleepsUntilItIsWokenAndDoesNotPoll) {
  const auto producer = Create(Config(Policy::kSyncReader));
  const auto consumer = Open({.wait = {.spin = absl::ZeroDuration()}});
  std::atomic<bool> waits = false;
  std::string text;
  int64_t switches = 0;
  std::thread reader([&] {
    struct rusage before = {};
    struct rusage after = {};
    getrusage(RUSAGE_THREAD, &before);
    waits = true;
    text = Get(*consumer);
    getrusage(RUSAGE_THREAD, &after);
    switches = after.ru_nvcsw - before.ru_nvcsw;
  });
  const auto start = std::chrono::steady_clock::now();
  // Idle for a while: that much is to be measured.
  while (!waits || std::chrono::steady_clock::now() - start < std::chrono::milliseconds(200)) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  PutNumbers(*producer, 7, 8);
  reader.join();
  const auto idle_ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - start);
  EXPECT_EQ(text, "7");
  EXPECT_EQ(producer->Stats().wakes, 1u);
  // A look every 10 ms; polling every 350 us would be 28 times as often.
  EXPECT_LE(switches, 2 * (idle_ms.count() / 10) + 5);
  EXPECT_EQ(consumer->Stats().sleeps, 1u);
}

}  // namespace
}  // namespace pylabhub::shm
