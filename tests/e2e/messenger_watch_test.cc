// The Messenger's Watch stream and a real broker, over loopback mutual TLS.
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "client/error_reason.h"
#include "client/messenger.h"
#include "gtest/gtest.h"
#include "tests/support/event_log.h"
#include "tests/support/lab_broker.h"

namespace pylabhub {
namespace {

using ::pylabhub::testing::EventLog;
using ::pylabhub::testing::LabBroker;

constexpr absl::Duration kPatience = absl::Seconds(30);
// Whose heartbeats are so far apart that nothing in a test is told by one.
constexpr absl::Duration kLongLease = absl::Minutes(10);

ChannelSpec Spec(const std::string& name, uint8_t segment = 1) {
  ChannelSpec spec{.name = name};
  spec.schema_hash.fill(0x5a);
  spec.segment_id.fill(segment);
  return spec;
}

std::unique_ptr<Messenger> Connected(const ConnectOptions& options) {
  absl::StatusOr<std::unique_ptr<Messenger>> messenger = Messenger::Connect(options);
  EXPECT_TRUE(messenger.ok()) << messenger.status();
  return messenger.ok() ? *std::move(messenger) : nullptr;
}

void AwaitCovered(const Messenger& messenger, const std::string& channel) {
  while (!messenger.directory().Covers(channel)) std::this_thread::yield();
}

TEST(MessengerWatchE2eTest, WhatWasAskedForOnceIsAnsweredFromMemoryAsTheBrokerWould) {
  const LabBroker broker(kLongLease);
  const auto producer = Connected(broker.ToHere());
  const auto messenger = Connected(broker.ToHere());
  ASSERT_TRUE(producer->RegisterProducer(Spec("a")).get().ok());
  const auto asked = messenger->DiscoverProducer("a", kPatience);
  AwaitCovered(*messenger, "a");
  const auto known = messenger->DiscoverProducer("a", absl::ZeroDuration());
  ASSERT_TRUE(asked.ok() && known.ok());
  EXPECT_EQ(messenger->metrics().directory_hits, 1u);
  EXPECT_EQ(known->epoch, asked->epoch);
  EXPECT_EQ(known->revision, asked->revision);
  EXPECT_EQ(known->spec.segment_id, asked->spec.segment_id);
  EXPECT_EQ(known->spec.process.pid, asked->spec.process.pid);
  EXPECT_EQ(known->producer_identity, asked->producer_identity);
}

TEST(MessengerWatchE2eTest, AClosingIsToldAsItHappensWithItsReasonAndSoIsTheComingBack) {
  EventLog events;
  const LabBroker broker(kLongLease);
  const auto producer = Connected(broker.ToHere());
  const auto consumer = Connected(broker.ToHere(events.Hook()));
  ASSERT_TRUE(producer->RegisterProducer(Spec("a")).get().ok());
  ASSERT_TRUE(consumer->RegisterConsumer({.channel = "a"}).get().ok());
  ASSERT_TRUE(producer->DeregisterProducer("a").get().ok());
  auto closing = events.Await(MessengerEventKind::kChannelClosing);
  ASSERT_TRUE(closing.has_value());
  EXPECT_EQ(ReasonOf(consumer->DiscoverProducer("a", absl::ZeroDuration()).status()),
            reason::kChannelNotFound);
  ASSERT_TRUE(producer->RegisterProducer(Spec("a", 2)).get().ok());
  ASSERT_TRUE(events.Await(MessengerEventKind::kChannelBack).has_value());
  AwaitCovered(*consumer, "a");
  ASSERT_TRUE(producer->DeregisterProducer("a").get().ok());
  closing = events.Await(MessengerEventKind::kChannelClosing);
  ASSERT_TRUE(closing.has_value());
  EXPECT_EQ(closing->close_reason, CloseReason::kDeregistered);
}

TEST(MessengerWatchE2eTest, WhoWaitsForAChannelIsToldByTheStream) {
  const LabBroker broker(kLongLease);
  const auto producer = Connected(broker.ToHere());
  const auto messenger = Connected(broker.ToHere());
  EXPECT_FALSE(messenger->DiscoverProducer("a", absl::ZeroDuration()).ok());
  AwaitCovered(*messenger, "a");
  const uint64_t before = messenger->metrics().calls["Discover"].refused;
  absl::StatusOr<Channel> found;
  std::thread waiter([&] { found = messenger->DiscoverProducer("a", kPatience); });
  while (messenger->metrics().calls["Discover"].refused == before) std::this_thread::yield();
  ASSERT_TRUE(producer->RegisterProducer(Spec("a")).get().ok());
  waiter.join();
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(messenger->metrics().calls["Discover"].refused, before + 1);
  EXPECT_EQ(messenger->metrics().calls["Discover"].ok, 0u);
}

TEST(MessengerWatchE2eTest, WhatAMessengerChangedItselfIsInItsNextAnswer) {
  const LabBroker broker(kLongLease);
  ConnectOptions options = broker.ToHere();
  options.messenger.watch = WatchScope::Everything();
  const auto messenger = Connected(options);
  ASSERT_TRUE(messenger->AwaitDirectory(kPatience));
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(messenger->RegisterProducer(Spec("a")).get().ok());
    ASSERT_TRUE(messenger->DiscoverProducer("a", absl::ZeroDuration()).ok());
    ASSERT_TRUE(messenger->RegisterConsumer({.channel = "a"}).get().ok());
    ASSERT_EQ(messenger->DiscoverProducer("a", absl::ZeroDuration())->consumer_count, 1u);
    ASSERT_TRUE(messenger->DeregisterConsumer({.channel = "a"}).get().ok());
    ASSERT_TRUE(messenger->DeregisterProducer("a").get().ok());
    ASSERT_FALSE(messenger->DiscoverProducer("a", absl::ZeroDuration()).ok());
  }
}

TEST(MessengerWatchE2eTest, AThousandChannelsAreKnownAndFollowed) {
  const LabBroker broker(kLongLease);
  const auto producer = Connected(broker.ToHere());
  ConnectOptions options = broker.ToHere();
  options.messenger.watch = WatchScope::Everything();
  const auto messenger = Connected(options);
  ASSERT_TRUE(messenger->AwaitDirectory(kPatience));
  std::vector<std::future<absl::StatusOr<Grant>>> outcomes;
  for (int i = 0; i < 1'000; ++i)
    outcomes.push_back(producer->RegisterProducer(Spec("c" + std::to_string(i))));
  for (auto& outcome : outcomes) ASSERT_TRUE(outcome.get().ok());
  for (int i = 0; i < 1'000; ++i) {
    while (messenger->directory().FindReady("c" + std::to_string(i)) == nullptr) std::this_thread::yield();
  }
  // The same once more, from a snapshot.
  const auto late = Connected(options);
  ASSERT_TRUE(late->AwaitDirectory(kPatience));
  EXPECT_EQ(late->directory().size(), 1'000u);
  EXPECT_EQ(late->directory().List("c99").size(), 11u);
}

TEST(MessengerWatchE2eTest, AfterARestartOfTheBrokerTheDirectoryIsTrueAgain) {
  EventLog events;
  LabBroker broker;
  const auto producer = Connected(broker.ToHere(events.Hook()));
  const auto messenger = Connected(broker.ToHere());
  ASSERT_TRUE(producer->RegisterProducer(Spec("a")).get().ok());
  ASSERT_TRUE(producer->RegisterProducer(Spec("b")).get().ok());
  ASSERT_TRUE(messenger->DiscoverProducer("a", kPatience).ok());
  AwaitCovered(*messenger, "a");
  broker.Restart();
  ASSERT_TRUE(events.Await(MessengerEventKind::kRegistrationRestored).has_value());
  AwaitCovered(*messenger, "a");
  const auto found = messenger->DiscoverProducer("a", kPatience);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->epoch, messenger->DiscoverProducer("a", kPatience, Consistency::kStrong)->epoch);
  EXPECT_GE(messenger->metrics().watch_streams, 2u);
}

}  // namespace
}  // namespace pylabhub
