// A pipeline's channel in a folder of its own, and members of its groups in this process and in others.
#ifndef PYLABHUB_TESTS_SHM_PIPELINE_FIXTURE_H_
#define PYLABHUB_TESTS_SHM_PIPELINE_FIXTURE_H_

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "shm/data_block_consumer.h"
#include "shm/data_block_producer.h"
#include "tests/support/child_process.h"
#include "tests/support/shm_folder.h"
#include "tests/support/stamped_slots.h"

namespace pylabhub::shm {

inline constexpr absl::Duration kPatience = absl::Seconds(20);
inline constexpr absl::Duration kShort = absl::Milliseconds(50);  // longer than several looks at a peer
inline constexpr char kPipeline[] = "pipeline.test";

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
    if (!pylabhub::testing::IsStamped(slot.payload(), slot.sequence())) ++counts.torn;
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
    return {.channel = kPipeline,
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
    auto consumer = DataBlockConsumer::Open(kPipeline, options);
    EXPECT_TRUE(consumer.ok()) << consumer.status();
    return consumer.ok() ? *std::move(consumer) : nullptr;
  }
  absl::Status ErrorOfOpen(ConsumerOptions options) const {
    options.directory = folder_.path();
    return DataBlockConsumer::Open(kPipeline, options).status();
  }

  // A process that holds the next slot (or `slots` of them) and says so; then it waits to be told.
  std::unique_ptr<pylabhub::testing::ChildProcess> Holder(uint32_t slots = 1) const {
    return std::make_unique<pylabhub::testing::ChildProcess>(
        [this, slots](const pylabhub::testing::ChildProcess::Line& test) {
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

inline std::vector<uint64_t> Drain(DataBlockConsumer& consumer, SlotResult* end,
                                   std::vector<uint64_t>* again = nullptr) {
  std::vector<uint64_t> sequences;
  for (;;) {
    ReadSlot slot = consumer.Acquire(kPatience);
    *end = slot.result();
    if (!slot) return sequences;
    EXPECT_TRUE(pylabhub::testing::IsStamped(slot.payload(), slot.sequence()));
    sequences.push_back(slot.sequence());
    if (again != nullptr && slot.redelivered()) again->push_back(slot.sequence());
  }
}

// Works until the producer is gone.
inline SlotResult Work(DataBlockConsumer& consumer, Tally& tally) {
  for (;;) {
    ReadSlot slot = consumer.Acquire(kPatience);
    if (!slot) return slot.result();
    tally.Count(slot);
    if (slot.Release() != SlotResult::kOk) return SlotResult::kOverrun;
  }
}

}  // namespace pylabhub::shm

#endif  // PYLABHUB_TESTS_SHM_PIPELINE_FIXTURE_H_
