#include "client/channel.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <utility>

#include "client/fake_broker_connection.h"
#include "tests/support/shm_folder.h"

namespace pylabhub {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(30);
constexpr char kName[] = "channel.test";

class ChannelTest : public ::testing::Test {
 protected:
  static std::unique_ptr<Messenger> Connect(FakeBroker& broker) {
    auto messenger = Messenger::Create(broker.NewConnection(), {});
    EXPECT_TRUE(messenger.ok()) << messenger.status();
    return *std::move(messenger);
  }

  ChannelProducer Create(Messenger& messenger) {
    shm::ChannelConfig config;
    config.channel = kName;
    config.slot_bytes = 64;
    config.min_consumers = 1;
    config.directory = folder_.path();
    auto created = CreateChannel(config, &messenger);
    EXPECT_TRUE(created.ok()) << created.status();
    return *std::move(created);
  }

  absl::StatusOr<ChannelConsumer> ConnectConsumer(Messenger& messenger) {
    shm::ConsumerOptions options;
    options.directory = folder_.path();
    return ConnectChannel(kName, kPatience, &messenger, options);
  }

  static void Put(shm::DataBlockProducer& producer, const std::string& text) {
    shm::WriteSlot slot = producer.Acquire(kPatience);
    ASSERT_TRUE(slot);
    std::memcpy(slot.payload().data(), text.data(), text.size());
    ASSERT_EQ(slot.Commit(text.size()), shm::SlotResult::kOk);
  }

  static std::string Get(shm::DataBlockConsumer& consumer) {
    const shm::ReadSlot slot = consumer.Acquire(kPatience);
    if (!slot) return std::string(shm::NameOf(slot.result()));
    return {reinterpret_cast<const char*>(slot.payload().data()), slot.payload().size()};
  }

  pylabhub::testing::ShmFolder folder_;
  FakeBroker broker_;
};

TEST_F(ChannelTest, AConsumerIsCountedByTheBrokerWhileItIsConnected) {
  auto messenger = Connect(broker_);
  ChannelProducer producer = Create(*messenger);
  {
    auto consumer = ConnectConsumer(*messenger);
    ASSERT_TRUE(consumer.ok()) << consumer.status();
    EXPECT_EQ(broker_.Find(kName).consumer_count, 1u);
    Put(*producer.block, "data");
    EXPECT_EQ(Get(*consumer->block), "data");
  }
}

TEST_F(ChannelTest, AProducerThatWasDoneBeforeItsConsumerCouldRegisterLosesNothing) {
  auto producing = Connect(broker_);
  auto consuming = Connect(broker_);
  ChannelProducer producer = Create(*producing);
  bool closed = false;
  broker_.SetCallHook([&](absl::string_view method) {
    if (method == "ConsumerRegister" && !std::exchange(closed, true)) {
      Put(*producer.block, "all there is");
      producer.block.reset();
      broker_.Expire(kName);
    }
    return absl::OkStatus();
  });
  auto consumer = ConnectConsumer(*consuming);
  ASSERT_TRUE(consumer.ok()) << consumer.status();
  EXPECT_TRUE(closed);
  EXPECT_EQ(Get(*consumer->block), "all there is");
  EXPECT_EQ(Get(*consumer->block), "producer closed");
}

TEST_F(ChannelTest, AMemberOfAGroupReadsFirstWhatAnEarlierProducerLeftAndThenFollows) {
  auto messenger = Connect(broker_);
  const shm::ChannelConfig config{
      .channel = kName, .policy = shm::Policy::kPipeline, .slot_bytes = 64, .directory = folder_.path()};
  Put(*CreateChannel(config, messenger.get())->block, "left behind");
  auto producer = CreateChannel(config, messenger.get());
  ASSERT_TRUE(producer.ok()) << producer.status();
  auto consumer = ConnectConsumer(*messenger);
  ASSERT_TRUE(consumer.ok()) << consumer.status();
  EXPECT_TRUE(consumer->registration);
  EXPECT_EQ(consumer->block->group(), "workers");
  EXPECT_EQ(Get(*consumer->block), "left behind");
  EXPECT_EQ(Get(*consumer->block), "producer closed");
  ASSERT_TRUE(consumer->block->Follow(kPatience).ok());
  EXPECT_EQ(consumer->block->segment_id(), producer->block->segment_id());
}

TEST_F(ChannelTest, ABrokerThatForgetsTheChannelMeanwhileDoesNotCostTheConsumerItsPlace) {
  auto producing = Connect(broker_);
  auto consuming = Connect(broker_);
  ChannelProducer producer = Create(*producing);
  bool forgot = false;
  broker_.SetCallHook([&](absl::string_view method) {
    if (method == "ConsumerRegister" && !std::exchange(forgot, true)) {
      Put(*producer.block, "written for who had attached");
      broker_.Restart();
    }
    return absl::OkStatus();
  });
  auto consumer = ConnectConsumer(*consuming);
  ASSERT_TRUE(consumer.ok()) << consumer.status();
  EXPECT_TRUE(forgot);
  EXPECT_TRUE(consumer->registration);
  EXPECT_EQ(Get(*consumer->block), "written for who had attached");
}

}  // namespace
}  // namespace pylabhub
