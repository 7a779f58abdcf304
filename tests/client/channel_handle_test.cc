#include "client/channel_handle.h"

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <utility>

#include "client/fake_broker_connection.h"
#include "shm/describe.h"
#include "tests/support/shm_folder.h"

namespace pylabhub {

struct Reading {
  double celsius;
  int64_t timestamp_ns;
};
PYLABHUB_SCHEMA(Reading, (celsius, "Cel"), (timestamp_ns, "ns"));

struct Other {
  int64_t count;
  int64_t timestamp_ns;
};
PYLABHUB_SCHEMA(Other, (count, ""), (timestamp_ns, "ns"));

namespace {

constexpr absl::Duration kPatience = absl::Seconds(30);
constexpr char kName[] = "handle.test";

std::span<const std::byte> BytesOf(absl::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

// What comes next, or the error's code in words.
std::string Next(ChannelHandle& handle, absl::Duration timeout = kPatience) {
  const absl::StatusOr<shm::ReadSlot> slot = handle.Receive(timeout);
  if (!slot.ok()) return absl::StatusCodeToString(slot.status().code());
  return {reinterpret_cast<const char*>(slot->payload().data()), slot->payload().size()};
}

class ChannelHandleTest : public ::testing::Test {
 protected:
  std::unique_ptr<Messenger> NewMessenger() {
    auto messenger = Messenger::Create(broker_.NewConnection(), {});
    EXPECT_TRUE(messenger.ok()) << messenger.status();
    return *std::move(messenger);
  }

  CreateOptions Creating(bool lossless = true) const {
    return {.config = {.slot_bytes = 64, .directory = folder_.path()}, .lossless = lossless};
  }
  ConnectChannelOptions Connecting(bool follow = false) const {
    ConnectChannelOptions options{.follow = follow};
    options.consumer.directory = folder_.path();
    return options;
  }

  ChannelHandle Create(Messenger* messenger = nullptr,
                       ChannelPattern pattern = ChannelPattern::kPublishSubscribe) {
    auto handle = CreateChannel(kName, pattern, messenger, Creating());
    EXPECT_TRUE(handle.ok()) << handle.status();
    return handle.ok() ? *std::move(handle) : ChannelHandle();
  }
  ChannelHandle Connect(Messenger* messenger = nullptr, bool follow = false,
                        ChannelPattern pattern = ChannelPattern::kPublishSubscribe) {
    auto handle = ConnectChannel(kName, pattern, kPatience, messenger, Connecting(follow));
    EXPECT_TRUE(handle.ok()) << handle.status();
    return handle.ok() ? *std::move(handle) : ChannelHandle();
  }

  pylabhub::testing::ShmFolder folder_;
  FakeBroker broker_;
};

TEST_F(ChannelHandleTest, WhatOneEndSendsTheOtherReceivesWithABrokerAndWithout) {
  const auto messenger = NewMessenger();
  for (Messenger* with : {static_cast<Messenger*>(nullptr), messenger.get()}) {
    ChannelHandle producer = Create(with);
    ChannelHandle consumer = Connect(with);
    EXPECT_EQ(producer.name(), kName);
    EXPECT_EQ(consumer.pattern(), ChannelPattern::kPublishSubscribe);
    EXPECT_TRUE(producer.is_producer());
    EXPECT_FALSE(consumer.is_producer());
    EXPECT_TRUE(producer.has_shm() && consumer.has_shm() && producer.is_valid() && consumer.is_valid());
    ASSERT_TRUE(producer.Send(BytesOf("one")).ok());
    ASSERT_TRUE(producer.Send(BytesOf("two")).ok());
    EXPECT_EQ(Next(consumer), "one");
    EXPECT_EQ(Next(consumer), "two");
    EXPECT_EQ(Next(consumer, absl::ZeroDuration()), "DEADLINE_EXCEEDED");
    EXPECT_EQ(broker_.Find(kName).consumer_count, with == nullptr ? 0u : 1u);
  }
}

TEST_F(ChannelHandleTest, TypesAreChecked) {
  auto producer = CreateChannel<Reading>(kName, ChannelPattern::kPublishSubscribe, nullptr, Creating());
  ASSERT_TRUE(producer.ok()) << producer.status();
  auto consumer =
      ConnectChannel<Reading>(kName, ChannelPattern::kPublishSubscribe, kPatience, nullptr, Connecting());
  ASSERT_TRUE(consumer.ok()) << consumer.status();
  ASSERT_TRUE(producer->Send(Reading{.celsius = 21.5, .timestamp_ns = 7}).ok());
  EXPECT_EQ(producer->Send(Other{}).code(), absl::StatusCode::kFailedPrecondition);
  const absl::StatusOr<Reading> reading = consumer->Receive<Reading>(kPatience);
  ASSERT_TRUE(reading.ok()) << reading.status();
  EXPECT_EQ(reading->celsius, 21.5);
  EXPECT_EQ(consumer->Receive<Other>(absl::ZeroDuration()).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ConnectChannel<Other>(kName, ChannelPattern::kPublishSubscribe, absl::ZeroDuration(), nullptr,
                                  Connecting())
                .status()
                .code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST_F(ChannelHandleTest, AConsumerClosesByItselfOnceItHasReceivedWhatItsProducerLeft) {
  ChannelHandle producer = Create();
  ChannelHandle consumer = Connect();
  ASSERT_TRUE(producer.Send(BytesOf("left")).ok());
  producer = ChannelHandle();
  EXPECT_TRUE(consumer.is_valid());
  EXPECT_EQ(Next(consumer), "left");
  EXPECT_EQ(Next(consumer), "NOT_FOUND");
  EXPECT_FALSE(consumer.is_valid());
  EXPECT_NE(std::string(consumer.why_invalid().message()).find("closed it"), std::string::npos)
      << consumer.why_invalid();
}

TEST_F(ChannelHandleTest, AHandleThatFollowsGoesOnWithTheNextProducer) {
  const auto messenger = NewMessenger();
  ChannelHandle first = Create(messenger.get());
  ChannelHandle consumer = Connect(messenger.get(), /*follow=*/true);
  ASSERT_TRUE(first.Send(BytesOf("first")).ok());
  first = ChannelHandle();
  EXPECT_EQ(Next(consumer), "first");
  EXPECT_EQ(Next(consumer, absl::ZeroDuration()), "DEADLINE_EXCEEDED");
  EXPECT_TRUE(consumer.is_valid());
  ChannelHandle second = Create(messenger.get());
  ASSERT_TRUE(second.Send(BytesOf("second")).ok());
  EXPECT_EQ(Next(consumer), "second");
}

TEST_F(ChannelHandleTest, TheOtherPatternIsRefused) {
  ChannelHandle producer = Create(nullptr, ChannelPattern::kPipeline);
  EXPECT_EQ(ConnectChannel(kName, ChannelPattern::kPublishSubscribe, kPatience, nullptr, Connecting())
                .status()
                .code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST_F(ChannelHandleTest, TheMembersOfAPipelineShareItsSlots) {
  ChannelHandle producer = Create(nullptr, ChannelPattern::kPipeline);
  ChannelHandle one = Connect(nullptr, false, ChannelPattern::kPipeline);
  ChannelHandle other = Connect(nullptr, false, ChannelPattern::kPipeline);
  for (const char* text : {"a", "b", "c"}) ASSERT_TRUE(producer.Send(BytesOf(text)).ok());
  EXPECT_EQ(Next(one), "a");
  EXPECT_EQ(Next(other), "b");
  EXPECT_EQ(Next(one), "c");
}

TEST_F(ChannelHandleTest, WhereToBeginIsPassedOn) {
  ChannelHandle producer = Create();
  ASSERT_TRUE(producer.Send(BytesOf("old")).ok());
  ConnectChannelOptions options = Connecting();
  options.consumer.start = shm::JoinPoint::Oldest();
  auto consumer = ConnectChannel(kName, ChannelPattern::kPublishSubscribe, kPatience, nullptr, options);
  ASSERT_TRUE(consumer.ok()) << consumer.status();
  EXPECT_EQ(Next(*consumer), "old");
}

TEST_F(ChannelHandleTest, AWaitEndsWhenTheHandleIsInvalidated) {
  ChannelHandle producer = Create();
  ChannelHandle consumer = Connect();
  std::thread other([&] { consumer.invalidate(); });
  EXPECT_EQ(Next(consumer), "CANCELLED");
  other.join();
  EXPECT_FALSE(consumer.is_valid());
  EXPECT_TRUE(producer.is_valid());
  producer.invalidate();
  EXPECT_EQ(producer.Send(BytesOf("x")).code(), absl::StatusCode::kCancelled);
}

TEST_F(ChannelHandleTest, ALosslessProducerSaysThatAConsumerHoldsItUp) {
  ChannelHandle producer = Create();
  ChannelHandle consumer = Connect();
  absl::Status status;
  for (int i = 0; i < 1'000 && status.ok(); ++i) status = producer.Send(BytesOf("x"), absl::ZeroDuration());
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(producer.is_valid());
  EXPECT_EQ(producer.Send(BytesOf(std::string(65, 'x')), absl::ZeroDuration()).code(),
            absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(Next(consumer), "x");
  EXPECT_EQ(producer.Send(BytesOf(std::string(65, 'x'))).code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(ChannelHandleTest, AProducerThatIsTakenOverSendsNoMoreAndSaysWhy) {
  const auto messenger = NewMessenger();
  ChannelHandle producer = Create(messenger.get());
  ASSERT_TRUE(producer.Send(BytesOf("mine"), absl::ZeroDuration()).ok());
  broker_.TakeOver(kName);
  while (producer.is_valid()) std::this_thread::yield();
  EXPECT_EQ(producer.Send(BytesOf("too late")).code(), absl::StatusCode::kAborted);
  EXPECT_NE(std::string(producer.why_invalid().message()).find("fenced"), std::string::npos);
}

TEST_F(ChannelHandleTest, ALeaseThatEndsClosesNothingThatIsAttached) {
  const auto messenger = NewMessenger();
  ChannelHandle producer = Create(messenger.get());
  ChannelHandle consumer = Connect(messenger.get());
  while (!messenger->directory().Covers(kName)) std::this_thread::yield();
  std::atomic<bool> told = false;
  const auto listener = messenger->Listen([&](const MessengerEvent& event) {
    if (event.kind == MessengerEventKind::kChannelClosing) told = true;
  });
  broker_.Expire(kName);
  while (!told) std::this_thread::yield();
  ASSERT_TRUE(producer.Send(BytesOf("still here")).ok());
  EXPECT_EQ(Next(consumer), "still here");
  EXPECT_TRUE(consumer.is_valid() && producer.is_valid());
  messenger->StopListening(listener);
}

TEST_F(ChannelHandleTest, WithoutCommonMemoryAHandleSaysSoUntilTheBrokerClosesIt) {
  const auto elsewhere = NewMessenger();
  const auto messenger = NewMessenger();
  ASSERT_TRUE(elsewhere
                  ->RegisterProducer(
                      {.name = kName,
                       .metadata = {{"policy", "publish_subscribe"}},
                       .process = {.pid = 1, .host = "far", .boot_id = "another boot", .shm_device = 1}})
                  .get()
                  .ok());
  ChannelHandle handle = Connect(messenger.get());
  EXPECT_FALSE(handle.has_shm());
  EXPECT_TRUE(handle.is_valid());
  EXPECT_EQ(handle.Receive(kPatience).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(std::string(handle.Send(BytesOf("x")).message()).find("'far'"), std::string::npos);
  EXPECT_EQ(ConnectChannel(kName, ChannelPattern::kPipeline, kPatience, messenger.get(), Connecting())
                .status()
                .code(),
            absl::StatusCode::kFailedPrecondition);
  while (!messenger->directory().Covers(kName)) std::this_thread::yield();
  ASSERT_TRUE(elsewhere->DeregisterProducer(kName).get().ok());
  while (handle.is_valid()) std::this_thread::yield();
  EXPECT_EQ(handle.Receive(kPatience).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(ChannelHandleTest, AHandleCanBeMovedAndOneOfNothingIsNotValid) {
  const auto messenger = NewMessenger();
  ChannelHandle none;
  EXPECT_FALSE(none.is_valid());
  EXPECT_FALSE(none.has_shm());
  EXPECT_EQ(none.Send(BytesOf("x")).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(none.Receive().status().code(), absl::StatusCode::kFailedPrecondition);
  ChannelHandle producer = Create(messenger.get());
  ChannelHandle consumer = Connect(messenger.get());
  none = std::move(producer);
  EXPECT_TRUE(none.is_valid());
  // NOLINTNEXTLINE(bugprone-use-after-move,clang-analyzer-cplusplus.Move): what is asked for here
  EXPECT_FALSE(producer.is_valid());
  ASSERT_TRUE(none.Send(BytesOf("moved")).ok());
  EXPECT_EQ(Next(consumer), "moved");
  broker_.TakeOver(kName);
  while (none.is_valid()) std::this_thread::yield();
}

}  // namespace
}  // namespace pylabhub
