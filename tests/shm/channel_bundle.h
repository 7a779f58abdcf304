// Several channels at once, each with its producer and one consumer: for tests of who waits on many.
#ifndef PYLABHUB_TESTS_SHM_CHANNEL_BUNDLE_H_
#define PYLABHUB_TESTS_SHM_CHANNEL_BUNDLE_H_

#include <gtest/gtest.h>

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "shm/data_block_consumer.h"
#include "shm/data_block_producer.h"
#include "shm/wait_set.h"
#include "tests/support/shm_folder.h"
#include "tests/support/stamped_slots.h"

namespace pylabhub::shm {

class ChannelBundle {
 public:
  static constexpr absl::Duration kPatience = absl::Seconds(20);

  explicit ChannelBundle(size_t channels, Policy policy = Policy::kSyncReader) {
    for (size_t i = 0; i < channels; ++i) AddChannel(policy);
  }

  size_t AddChannel(Policy policy) {
    const size_t index = size();
    producers_.push_back(Create(index, policy));
    consumers_.push_back(Open(index));
    return index;
  }

  size_t size() const { return consumers_.size(); }
  DataBlockProducer& producer(size_t i) { return *producers_[i]; }
  DataBlockConsumer& consumer(size_t i) { return *consumers_[i]; }
  const std::string& folder() const { return folder_.path(); }
  static std::string Name(size_t i) { return "bundle." + std::to_string(i); }

  std::unique_ptr<DataBlockProducer> Create(size_t i, Policy policy = Policy::kSyncReader) {
    auto producer = DataBlockProducer::Create({.channel = Name(i),
                                               .policy = policy,
                                               .capacity_slots = 4,
                                               .slot_bytes = 64,
                                               .max_consumers = policy == Policy::kSingleReader ? 1u : 2u,
                                               .directory = folder_.path()});
    EXPECT_TRUE(producer.ok()) << producer.status();
    return producer.ok() ? *std::move(producer) : nullptr;
  }
  std::unique_ptr<DataBlockConsumer> Open(size_t i) {
    auto consumer =
        DataBlockConsumer::Open(Name(i), {.open_timeout = kPatience, .directory = folder_.path()});
    EXPECT_TRUE(consumer.ok()) << consumer.status();
    return consumer.ok() ? *std::move(consumer) : nullptr;
  }

  void Close(size_t i) { producers_[i].reset(); }
  void Reopen(size_t i) { producers_[i] = Create(i); }
  void Leave(size_t i) { consumers_[i].reset(); }

  void Put(size_t i, int slots = 1) {
    for (int slot = 0; slot < slots; ++slot)
      EXPECT_EQ(pylabhub::testing::PutStamped(producer(i), kPatience), SlotResult::kOk);
  }
  // Reads one slot that is there.
  SlotResult Take(size_t i) {
    const ReadSlot slot = consumer(i).Acquire(absl::ZeroDuration());
    EXPECT_TRUE(!slot || pylabhub::testing::IsStamped(slot.payload(), slot.sequence()));
    return slot.result();
  }

  // Every channel, under its index as key.
  void JoinAll(WaitSet& set) {
    for (size_t i = 0; i < size(); ++i) EXPECT_TRUE(set.Add(consumer(i), {.key = i}).ok());
  }

 private:
  pylabhub::testing::ShmFolder folder_;
  std::vector<std::unique_ptr<DataBlockProducer>> producers_;
  std::vector<std::unique_ptr<DataBlockConsumer>> consumers_;
};

}  // namespace pylabhub::shm

#endif  // PYLABHUB_TESTS_SHM_CHANNEL_BUNDLE_H_
