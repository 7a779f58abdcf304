// Faults of an earlier system (docs/tests.md lists all 21), each with a test that would have caught it: those of what is counted.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "shm/data_block_consumer.h"
#include "shm/data_block_producer.h"
#include "shm/metrics.h"
#include "tests/shm/faults/fault_fixture.h"
#include "tests/support/child_process.h"

namespace pylabhub::shm {
namespace {

using ::pylabhub::testing::ChildProcess;

constexpr absl::Duration kShort = absl::Milliseconds(20);

// Counters by name, as any tool reads them.
struct Counter {
  const char* name;
  uint64_t value;
};
std::vector<Counter> CountersOf(const ProducerStats& stats) {
  return {{"committed_slots", stats.committed_slots},
          {"committed_bytes", stats.committed_bytes},
          {"aborted_slots", stats.aborted_slots},
          {"waits", stats.waits},
          {"blocked", static_cast<uint64_t>(absl::ToInt64Nanoseconds(stats.blocked))},
          {"wakes", stats.wakes},
          {"evicted_consumers", stats.evicted_consumers},
          {"dropped_backlogs", stats.dropped_backlogs},
          {"cut_off_consumers", stats.cut_off_consumers},
          {"invalid_peer_values", stats.invalid_peer_values}};
}
// But that of slots delivered again, which is a group's.
std::vector<Counter> CountersOf(const ConsumerMetrics& consumer) {
  return {{"received_slots", consumer.received_slots},
          {"received_bytes", consumer.received_bytes},
          {"missed_slots", consumer.missed_slots},
          {"corrupt_slots", consumer.corrupt_slots},
          {"waits", consumer.waits},
          {"sleeps", consumer.sleeps},
          {"blocked_producer", static_cast<uint64_t>(absl::ToInt64Nanoseconds(consumer.blocked_producer))}};
}

class CountingFaultTest : public FaultTest {
 protected:
  ChannelMetrics Read(const char* channel = kBlock) const {
    const auto metrics = ReadMetrics(channel, folder_.path());
    EXPECT_TRUE(metrics.ok()) << metrics.status();
    return *metrics;
  }
  // Does something, and expects it to raise the counter of the producer of that name.
  void Counts(const std::string& name, const std::function<void()>& act) const {
    const auto value = [&] {
      for (const Counter& counter : CountersOf(Read().producer))
        if (counter.name == name) return counter.value;
      ADD_FAILURE() << name << " is no counter";
      return uint64_t{0};
    };
    const uint64_t before = value();
    act();
    EXPECT_GT(value(), before) << name;
  }
};

// Then, most counters in the header were fields that nobody ever wrote to.
TEST_F(CountingFaultTest, F14EveryCounterOfTheProducerAndOfAConsumerCounts) {
  ChannelConfig config = Config(Policy::kSyncReader);
  config.checksum = Checksum::kEnforced;
  auto producer = Create(config);
  const auto consumer =
      Open({.when_slow = WhenSlow::kDropBacklog, .patience = kShort, .wait = {.spin = absl::ZeroDuration()}});
  for (const Counter& counter : CountersOf(Read().producer)) EXPECT_EQ(counter.value, 0u) << counter.name;
  for (const Counter& counter : CountersOf(Read().consumers[0])) EXPECT_EQ(counter.value, 0u) << counter.name;
  const auto drain = [&] {
    while (consumer->Acquire(absl::ZeroDuration())) {
    }
  };

  EXPECT_EQ(consumer->Acquire(kShort).result(), SlotResult::kTimeout);
  Counts("aborted_slots", [&] { producer->Acquire(kPatience).Abort(); });
  Counts("committed_slots", [&] { PutNumbers(*producer, 0, 3); });
  Counts("committed_bytes", [&] { PutNumbers(*producer, 3, 4); });
  Counts("waits", [&] { EXPECT_EQ(Put(*producer, "no room", absl::ZeroDuration()), SlotResult::kTimeout); });
  Counts("blocked",
         [&] { EXPECT_EQ(Put(*producer, "no room", absl::ZeroDuration()), SlotResult::kTimeout); });
  Counts("dropped_backlogs", [&] { PutNumbers(*producer, 4, 5); });
  drain();
  const auto cut_off = Open({.when_slow = WhenSlow::kCutOff, .patience = kShort});
  Counts("cut_off_consumers", [&] { PutNumbers(*producer, 5, 10); });
  drain();

  ChildProcess dies([&](const ChildProcess::Line& test) {
    const auto dying = Open();
    test.Signal();
    test.Await();
    return 1;
  });
  ASSERT_NE(dies.line().Await(), 0);
  dies.Kill();
  Counts("evicted_consumers", [&] {
    for (int slot = 10; slot < 15; ++slot) {
      PutNumbers(*producer, slot, slot + 1);
      drain();
    }
  });

  const Mapping data = DataOf(*producer);
  PutNumbers(*producer, 15, 16);
  *PayloadOf(data, 15) ^= std::byte{1};
  EXPECT_EQ(Get(*consumer), "corrupt");
  Counts("invalid_peer_values", [&] {
    const Mapping mapping = ControlOf(*producer);
    ViewControl(mapping.bytes())->entry(consumer->place()).cursor = 1'000'000;
    PutNumbers(*producer, 16, 21);
  });
  drain();

  std::thread sleeper([&] {
    while (consumer->Acquire(kPatience)) {
    }
  });
  Counts("wakes", [&] {
    for (int slot = 21; Read().producer.wakes == 0; ++slot) PutNumbers(*producer, slot, slot + 1);
  });
  producer.reset();
  sleeper.join();
  const ChannelMetrics last = Read();
  const auto counted = std::ranges::find(last.consumers, consumer->place(), &ConsumerMetrics::place);
  ASSERT_NE(counted, last.consumers.end());
  for (const Counter& counter : CountersOf(*counted)) EXPECT_GT(counter.value, 0u) << counter.name;
}

TEST_F(CountingFaultTest, F14ASlotThatIsDeliveredAgainIsCounted) {
  const auto producer = Create(Config(Policy::kPipeline));
  PutNumbers(*producer, 0, 1);
  ChildProcess dies([&](const ChildProcess::Line& test) {
    const auto member = Open();
    const ReadSlot held = member->Acquire(kPatience);
    test.Signal();
    test.Await();
    return 1;
  });
  ASSERT_NE(dies.line().Await(), 0);
  const auto member = Open();
  dies.Kill();
  EXPECT_EQ(Get(*member), "0");
  const ChannelMetrics metrics = Read();
  const auto counted = std::ranges::find(metrics.consumers, member->place(), &ConsumerMetrics::place);
  ASSERT_NE(counted, metrics.consumers.end());
  EXPECT_EQ(counted->redelivered_slots, 1u);
}

}  // namespace
}  // namespace pylabhub::shm
