// The Messenger over a broker in memory: what its threads do, without a network.
#include "client/messenger.h"

#include <latch>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "client/error_reason.h"
#include "client/fake_broker_connection.h"
#include "gtest/gtest.h"
#include "tests/support/event_log.h"

namespace pylabhub {
namespace {

using ::pylabhub::testing::EventLog;

class MessengerTest : public ::testing::Test {
 protected:
  std::unique_ptr<Messenger> NewMessenger(FakeBroker& broker,
                                          absl::Duration close_timeout = absl::Seconds(2)) {
    absl::StatusOr<std::unique_ptr<Messenger>> messenger = Messenger::Create(
        broker.NewConnection(), {.on_event = events_.Hook(), .close_timeout = close_timeout});
    EXPECT_TRUE(messenger.ok()) << messenger.status();
    return messenger.ok() ? *std::move(messenger) : nullptr;
  }

  EventLog events_;  // outlives the messengers of the tests
  FakeBroker broker_;
};

ChannelSpec Spec(const std::string& name, uint8_t segment = 1) {
  ChannelSpec spec{.name = name};
  spec.schema_hash.fill(0x5a);
  spec.segment_id.fill(segment);
  return spec;
}

// Blocks until the fake broker has answered `count` further heartbeats.
void AwaitHeartbeats(FakeBroker& broker, uint64_t count) {
  const uint64_t wanted = broker.heartbeat_count() + count;
  while (broker.heartbeat_count() < wanted) std::this_thread::yield();
}

TEST_F(MessengerTest, ChannelIsReadyWhenItsRegistrationIsReported) {
  const auto messenger = NewMessenger(broker_);
  const auto grant = messenger->RegisterProducer(Spec("a")).get();
  ASSERT_TRUE(grant.ok()) << grant.status();
  EXPECT_EQ(grant->channel.epoch, 1u);
  EXPECT_EQ(broker_.Find("a").state, ChannelState::kReady);
  EXPECT_GT(broker_.Find("a").spec.process.pid, 0);
}

TEST_F(MessengerTest, ConsumersAreCountedWhileTheyAreRegistered) {
  const auto messenger = NewMessenger(broker_);
  ASSERT_TRUE(messenger->RegisterProducer(Spec("a")).get().ok());
  EXPECT_EQ(messenger->DiscoverProducer("a", absl::ZeroDuration())->consumer_count, 0u);
  ASSERT_TRUE(messenger->RegisterConsumer({.channel = "a", .consumer_id = "one"}).get().ok());
  EXPECT_EQ(messenger->DiscoverProducer("a", absl::ZeroDuration())->consumer_count, 1u);
  ASSERT_TRUE(messenger->DeregisterConsumer({.channel = "a", .consumer_id = "one"}).get().ok());
  EXPECT_EQ(messenger->DiscoverProducer("a", absl::ZeroDuration())->consumer_count, 0u);
}

TEST_F(MessengerTest, RefusalIsReportedWithItsReason) {
  const auto messenger = NewMessenger(broker_);
  EXPECT_EQ(ReasonOf(messenger->RegisterConsumer({.channel = "none"}).get().status()),
            reason::kChannelNotFound);
  EXPECT_EQ(ReasonOf(messenger->DeregisterProducer("none").get()), reason::kNotRegistered);
  ASSERT_TRUE(messenger->RegisterProducer(Spec("a")).get().ok());
  ChannelSpec other = Spec("a", 2);
  other.schema_hash.fill(1);
  EXPECT_EQ(ReasonOf(messenger->RegisterProducer(other).get().status()), reason::kSchemaMismatch);
}

TEST_F(MessengerTest, ChannelOfAnotherSessionIsTakenOverOnlyOnDemand) {
  const auto first = NewMessenger(broker_);
  const auto second = NewMessenger(broker_);
  ASSERT_TRUE(first->RegisterProducer(Spec("a")).get().ok());
  EXPECT_EQ(ReasonOf(second->RegisterProducer(Spec("a", 2)).get().status()), reason::kChannelHeld);
  EXPECT_TRUE(second->RegisterProducer(Spec("a", 2), OnHeld::kTakeOver).get().ok());
}

TEST_F(MessengerTest, RestartedBrokerIsToldEverythingAgain) {
  const auto messenger = NewMessenger(broker_);
  ASSERT_TRUE(messenger->RegisterProducer(Spec("a")).get().ok());
  ASSERT_TRUE(messenger->RegisterProducer(Spec("b")).get().ok());
  ASSERT_TRUE(messenger->RegisterConsumer({.channel = "a"}).get().ok());
  broker_.Restart();
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(events_.Await(MessengerEventKind::kRegistrationRestored).has_value());
  }
  EXPECT_TRUE(messenger->DiscoverProducer("a", absl::Seconds(30)).ok());
  EXPECT_TRUE(messenger->DiscoverProducer("b", absl::Seconds(30)).ok());
  EXPECT_EQ(broker_.Find("a").consumer_count, 1u);
}

TEST_F(MessengerTest, UnreachableBrokerIsToldOnceAndSoIsItsReturn) {
  const auto messenger = NewMessenger(broker_);
  ASSERT_TRUE(messenger->RegisterProducer(Spec("a")).get().ok());
  broker_.SetCallHook([](absl::string_view) { return absl::UnavailableError("away"); });
  const auto unreachable = events_.Await(MessengerEventKind::kBrokerUnreachable);
  ASSERT_TRUE(unreachable.has_value());
  EXPECT_EQ(unreachable->status.code(), absl::StatusCode::kUnavailable);
  EXPECT_FALSE(messenger->LastHeartbeat().ok());
  broker_.SetCallHook(nullptr);
  EXPECT_TRUE(events_.Await(MessengerEventKind::kBrokerBack).has_value());
  EXPECT_TRUE(messenger->LastHeartbeat().ok());
}

TEST_F(MessengerTest, SlowRegistrationStarvesNoHeartbeat) {
  const auto messenger = NewMessenger(broker_);
  ASSERT_TRUE(messenger->RegisterProducer(Spec("a")).get().ok());
  std::latch release(1);
  broker_.SetCallHook([&](absl::string_view method) {
    if (method == "Register") release.wait();
    return absl::OkStatus();
  });
  auto slow = messenger->RegisterProducer(Spec("b"));
  AwaitHeartbeats(broker_, 5);
  EXPECT_EQ(slow.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  release.count_down();
  EXPECT_TRUE(slow.get().ok());
}

TEST_F(MessengerTest, CallbackMayBeSlowAndMayWaitForRegistrations) {
  std::latch done(1);
  std::unique_ptr<Messenger> messenger;
  absl::Status outcome;
  messenger = *Messenger::Create(broker_.NewConnection(), {.on_event = [&](const MessengerEvent& event) {
                                   if (event.kind != MessengerEventKind::kRegistrationLost) return;
                                   AwaitHeartbeats(broker_, 3);
                                   outcome = messenger->RegisterProducer(Spec("b")).get().status();
                                   done.count_down();
                                 }});
  ASSERT_TRUE(messenger->RegisterProducer(Spec("a")).get().ok());
  ASSERT_TRUE(messenger->RegisterProducer(Spec("c")).get().ok());
  broker_.TakeOver("a");
  done.wait();
  EXPECT_TRUE(outcome.ok()) << outcome;
}

TEST_F(MessengerTest, FencedProducerIsToldAndDoesNotRegisterAgain) {
  const auto messenger = NewMessenger(broker_);
  ASSERT_TRUE(messenger->RegisterProducer(Spec("a")).get().ok());
  ASSERT_TRUE(messenger->RegisterProducer(Spec("b")).get().ok());
  broker_.TakeOver("a");
  const auto lost = events_.Await(MessengerEventKind::kRegistrationLost);
  ASSERT_TRUE(lost.has_value());
  EXPECT_EQ(lost->channel, "a");
  AwaitHeartbeats(broker_, 3);
  EXPECT_EQ(ReasonOf(messenger->DeregisterProducer("a").get()), reason::kNotRegistered);
}

TEST_F(MessengerTest, ConsumerIsToldWhenItsChannelClosesAndWhenItIsBack) {
  const auto producer = NewMessenger(broker_);
  const auto consumer = NewMessenger(broker_);
  ASSERT_TRUE(producer->RegisterProducer(Spec("a")).get().ok());
  ASSERT_TRUE(consumer->RegisterConsumer({.channel = "a"}).get().ok());
  ASSERT_TRUE(producer->DeregisterProducer("a").get().ok());
  const auto closing = events_.Await(MessengerEventKind::kChannelClosing);
  ASSERT_TRUE(closing.has_value());
  EXPECT_EQ(closing->channel, "a");
  ASSERT_TRUE(producer->RegisterProducer(Spec("a", 2)).get().ok());
  EXPECT_TRUE(events_.Await(MessengerEventKind::kChannelBack).has_value());
}

TEST_F(MessengerTest, DiscoverWaitsForAChannelToAppear) {
  const auto messenger = NewMessenger(broker_);
  std::latch asked(1);
  broker_.SetCallHook([&](absl::string_view method) {
    if (method == "Discover" && !asked.try_wait()) asked.count_down();
    return absl::OkStatus();
  });
  absl::StatusOr<Channel> found;
  std::thread waiter([&] { found = messenger->DiscoverProducer("a", absl::Seconds(30)); });
  asked.wait();
  EXPECT_TRUE(messenger->RegisterProducer(Spec("a")).get().ok());
  waiter.join();
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->spec.segment_id, Spec("a").segment_id);
}

TEST_F(MessengerTest, DiscoverEndsAtItsTimeoutWithTheBrokersReason) {
  const auto messenger = NewMessenger(broker_);
  const absl::Status now = messenger->DiscoverProducer("none", absl::ZeroDuration()).status();
  EXPECT_EQ(ReasonOf(now), reason::kChannelNotFound);
  const absl::Status later = messenger->DiscoverProducer("none", absl::Milliseconds(30)).status();
  EXPECT_EQ(ReasonOf(later), reason::kChannelNotFound);
  EXPECT_EQ(later.code(), absl::StatusCode::kNotFound);
}

TEST_F(MessengerTest, DestructionGivesEverythingUp) {
  const auto other = NewMessenger(broker_);
  ASSERT_TRUE(other->RegisterProducer(Spec("kept")).get().ok());
  {
    const auto messenger = NewMessenger(broker_);
    ASSERT_TRUE(messenger->RegisterProducer(Spec("a")).get().ok());
    ASSERT_TRUE(messenger->RegisterConsumer({.channel = "kept"}).get().ok());
  }
  EXPECT_EQ(broker_.Find("a").state, ChannelState::kUnknown);
  EXPECT_EQ(broker_.Find("kept").state, ChannelState::kReady);
  EXPECT_EQ(broker_.Find("kept").consumer_count, 0u);
}

TEST_F(MessengerTest, DestructionEndsWaitingRegistrationsWithAnOutcome) {
  std::latch entered(1);
  std::latch cancelled(1);
  auto messenger = NewMessenger(broker_);
  broker_.SetCallHook([&](absl::string_view method) -> absl::Status {
    if (method == "CancelCalls" && !cancelled.try_wait()) cancelled.count_down();
    if (method != "Register") return absl::OkStatus();
    entered.count_down();
    cancelled.wait();
    return absl::CancelledError("cancelled");
  });
  auto running = messenger->RegisterProducer(Spec("a"));
  auto waiting = messenger->RegisterProducer(Spec("b"));
  entered.wait();
  messenger.reset();
  EXPECT_EQ(running.get().status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(waiting.get().status().code(), absl::StatusCode::kCancelled);
}

TEST_F(MessengerTest, UnreachableBrokerDoesNotHoldUpDestruction) {
  auto messenger = NewMessenger(broker_);
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(messenger->RegisterProducer(Spec("c" + std::to_string(i))).get().ok());
  }
  std::mutex mutex;
  int deregistrations = 0;
  broker_.SetCallHook([&](absl::string_view method) {
    const std::lock_guard lock(mutex);
    if (method == "Deregister") ++deregistrations;
    return absl::UnavailableError("away");
  });
  messenger.reset();
  EXPECT_EQ(deregistrations, 1);
}

TEST_F(MessengerTest, TwoMessengersToTwoBrokersDoNotMix) {
  FakeBroker other_broker;
  const auto one = NewMessenger(broker_);
  const auto two = NewMessenger(other_broker);
  ASSERT_TRUE(one->RegisterProducer(Spec("a")).get().ok());
  ASSERT_TRUE(two->RegisterProducer(Spec("b")).get().ok());
  EXPECT_NE(one->session_id(), two->session_id());
  EXPECT_FALSE(one->DiscoverProducer("b", absl::ZeroDuration()).ok());
  EXPECT_FALSE(two->DiscoverProducer("a", absl::ZeroDuration()).ok());
}

TEST_F(MessengerTest, ManyThreadsMayUseOneMessenger) {
  const auto messenger = NewMessenger(broker_);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 20; ++i) {
        const std::string name = "c" + std::to_string(t) + "." + std::to_string(i);
        EXPECT_TRUE(messenger->RegisterProducer(Spec(name)).get().ok());
        EXPECT_TRUE(messenger->DiscoverProducer(name, absl::Seconds(30)).ok());
        if (i % 2 == 1) continue;
        EXPECT_TRUE(messenger->DeregisterProducer(name).get().ok());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(messenger->ListChannels("c", absl::Seconds(5))->size(), 40u);
}

TEST_F(MessengerTest, BrokerThatIsNotThereIsAnErrorAtOnce) {
  broker_.SetCallHook([](absl::string_view) { return absl::UnavailableError("away"); });
  EXPECT_EQ(Messenger::Create(broker_.NewConnection(), {}).status().code(), absl::StatusCode::kUnavailable);
}

using MessengerDeathTest = MessengerTest;

TEST_F(MessengerDeathTest, DestructionInACallbackEndsTheProcessAndSaysWhy) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        std::unique_ptr<Messenger> messenger;
        std::latch done(1);
        messenger = *Messenger::Create(broker_.NewConnection(), {.on_event = [&](const MessengerEvent&) {
                                         messenger.reset();
                                         done.count_down();
                                       }});
        (void)messenger->RegisterProducer(Spec("a")).get();
        broker_.TakeOver("a");
        done.wait();
      },
      "destroyed in its own on_event callback");
}

}  // namespace
}  // namespace pylabhub
