// Discovery with no broker: a Messenger that finds the named channels of its host.
#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <utility>

#include "client/channel.h"
#include "client/error_reason.h"
#include "client/messenger.h"
#include "tests/support/shm_folder.h"

namespace pylabhub {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(30);

class MessengerLocalTest : public ::testing::Test {
 protected:
  std::unique_ptr<Messenger> NewLocal() {
    auto messenger = Messenger::Local({}, folder_.path());
    EXPECT_TRUE(messenger.ok()) << messenger.status();
    return *std::move(messenger);
  }

  shm::ChannelConfig Config(const std::string& name) const {
    return {.channel = name, .slot_bytes = 64, .directory = folder_.path()};
  }

  pylabhub::testing::ShmFolder folder_;
};

TEST_F(MessengerLocalTest, AChannelOfThisHostIsFoundByItsName) {
  const auto messenger = NewLocal();
  EXPECT_EQ(ReasonOf(messenger->DiscoverProducer("a", absl::ZeroDuration()).status()),
            reason::kChannelNotFound);
  auto producer = CreateChannel(Config("a"));
  ASSERT_TRUE(producer.ok()) << producer.status();
  const auto found = messenger->DiscoverProducer("a", absl::ZeroDuration());
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->state, ChannelState::kReady);
  EXPECT_EQ(found->epoch, 0u);
  EXPECT_EQ(found->spec.segment_id, producer->block->segment_id().bytes);
  EXPECT_EQ(found->spec.schema_hash, shm::HashOf(producer->block->config().schema));
  EXPECT_EQ(found->spec.metadata.at("policy"), "sync_reader");
  EXPECT_TRUE(SharesMemoryWithThisProcess(*found));
  producer->block.reset();
  EXPECT_FALSE(messenger->DiscoverProducer("a", absl::ZeroDuration()).ok());
}

TEST_F(MessengerLocalTest, WhoWaitsFindsAChannelThatAppears) {
  const auto messenger = NewLocal();
  absl::StatusOr<Channel> found;
  std::thread waiter([&] { found = messenger->DiscoverProducer("a", kPatience); });
  auto producer = CreateChannel(Config("a"));
  ASSERT_TRUE(producer.ok()) << producer.status();
  waiter.join();
  EXPECT_TRUE(found.ok()) << found.status();
}

TEST_F(MessengerLocalTest, RegistrationsSucceedAndSayThatNothingIsRegistered) {
  const auto messenger = NewLocal();
  const auto grant = messenger->RegisterProducer({.name = "a"}).get();
  ASSERT_TRUE(grant.ok()) << grant.status();
  EXPECT_FALSE(grant->is_registered);
  EXPECT_FALSE(messenger->DiscoverProducer("a", absl::ZeroDuration()).ok());
  EXPECT_TRUE(messenger->DeregisterProducer("a").get().ok());
  EXPECT_EQ(ReasonOf(messenger->RegisterConsumer({.channel = "a"}).get().status()), reason::kChannelNotFound);
  auto producer = CreateChannel(Config("a"), messenger.get());
  ASSERT_TRUE(producer.ok()) << producer.status();
  EXPECT_FALSE(producer->registration);
  ConsumerSpec consumer{.channel = "a"};
  EXPECT_FALSE(messenger->RegisterConsumer(consumer).get()->is_registered);
  consumer.expected_schema_hash.emplace().fill(1);
  EXPECT_EQ(ReasonOf(messenger->RegisterConsumer(consumer).get().status()), reason::kSchemaMismatch);
  EXPECT_TRUE(messenger->LastHeartbeat().ok());
}

TEST_F(MessengerLocalTest, ChannelsAreListedByTheirBeginnings) {
  const auto messenger = NewLocal();
  auto one = CreateChannel(Config("camera.left"));
  auto two = CreateChannel(Config("camera.right"));
  auto three = CreateChannel(Config("sensor"));
  ASSERT_TRUE(one.ok() && two.ok() && three.ok());
  const auto listed = messenger->ListChannels("camera.", kPatience);
  ASSERT_TRUE(listed.ok()) << listed.status();
  ASSERT_EQ(listed->size(), 2u);
  EXPECT_EQ((*listed)[0].spec.name, "camera.left");
}

TEST_F(MessengerLocalTest, AConsumerConnectsThroughItAsThroughABroker) {
  const auto messenger = NewLocal();
  auto producer = CreateChannel(Config("a"), messenger.get());
  ASSERT_TRUE(producer.ok()) << producer.status();
  shm::ConsumerOptions options;
  options.directory = folder_.path();
  auto consumer = ConnectChannel("a", kPatience, messenger.get(), options);
  ASSERT_TRUE(consumer.ok()) << consumer.status();
  EXPECT_EQ(messenger->DiscoverProducer("a", absl::ZeroDuration())->consumer_count, 1u);
}

TEST_F(MessengerLocalTest, ABadNameIsRefusedWithTheRule) {
  EXPECT_EQ(NewLocal()->DiscoverProducer("Not A Name", kPatience).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace pylabhub
