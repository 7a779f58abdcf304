// A channel in a folder of its own, with slots that carry text.
#ifndef PYLABHUB_TESTS_SHM_BLOCK_FIXTURE_H_
#define PYLABHUB_TESTS_SHM_BLOCK_FIXTURE_H_

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <string>

#include "shm/data_block_consumer.h"
#include "shm/data_block_producer.h"
#include "tests/support/shm_folder.h"

namespace pylabhub::shm {

inline constexpr absl::Duration kPatience = absl::Seconds(20);
inline constexpr const char* kBlock = "block.test";

class BlockFixture : public ::testing::Test {
 protected:
  ChannelConfig Config(Policy policy, uint64_t slot_bytes = 64, uint32_t capacity_slots = 4) const {
    return {.channel = kBlock,
            .policy = policy,
            .capacity_slots = capacity_slots,
            .slot_bytes = slot_bytes,
            .directory = folder_.path()};
  }

  std::unique_ptr<DataBlockProducer> Create(const ChannelConfig& config) {
    auto producer = DataBlockProducer::Create(config);
    EXPECT_TRUE(producer.ok()) << producer.status();
    return producer.ok() ? *std::move(producer) : nullptr;
  }

  absl::StatusOr<std::unique_ptr<DataBlockConsumer>> TryOpen(ConsumerOptions options = {}) {
    options.directory = folder_.path();
    return DataBlockConsumer::Open(kBlock, options);
  }

  std::unique_ptr<DataBlockConsumer> Open(const ConsumerOptions& options = {}) {
    auto consumer = TryOpen(options);
    EXPECT_TRUE(consumer.ok()) << consumer.status();
    return consumer.ok() ? *std::move(consumer) : nullptr;
  }

  pylabhub::testing::ShmFolder folder_;
};

inline SlotResult Put(DataBlockProducer& producer, const std::string& text,
                      absl::Duration timeout = kPatience) {
  WriteSlot slot = producer.Acquire(timeout);
  if (!slot) return slot.result();
  std::memcpy(slot.payload().data(), text.data(), text.size());
  return slot.Commit(text.size());
}

// Puts the numbers from `first` up to `last`, not included.
inline void PutNumbers(DataBlockProducer& producer, int first, int last) {
  for (int i = first; i < last; ++i) ASSERT_EQ(Put(producer, std::to_string(i)), SlotResult::kOk);
}

inline std::string Text(std::span<const std::byte> payload) {
  return {reinterpret_cast<const char*>(payload.data()), payload.size()};
}
inline std::string Text(const ReadSlot& slot) { return Text(slot.payload()); }

// The next slot's text, or why there is none.
inline std::string Get(DataBlockConsumer& consumer, absl::Duration timeout = kPatience) {
  ReadSlot slot = consumer.Acquire(timeout);
  return slot ? Text(slot) : std::string(NameOf(slot.result()));
}

}  // namespace pylabhub::shm

#endif  // PYLABHUB_TESTS_SHM_BLOCK_FIXTURE_H_
