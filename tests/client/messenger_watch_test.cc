// The Messenger's Watch stream over a broker in memory: what is answered from memory, and what is told at once.
#include <atomic>
#include <chrono>
#include <latch>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "client/error_reason.h"
#include "client/fake_broker_connection.h"
#include "client/messenger.h"
#include "gtest/gtest.h"
#include "tests/support/event_log.h"
#include "tests/support/seed.h"

namespace pylabhub {
namespace {

using ::pylabhub::testing::EventLog;

constexpr absl::Duration kPatience = absl::Seconds(30);
// So rarely that whatever is told in a test was not told by a heartbeat.
constexpr LeaseTerms kRareHeartbeats = {.lease_ttl = absl::Hours(2), .heartbeat_interval = absl::Hours(1)};

ChannelSpec Spec(const std::string& name, uint8_t segment = 1) {
  ChannelSpec spec{.name = name};
  spec.segment_id.fill(segment);
  return spec;
}

class MessengerWatchTest : public ::testing::Test {
 protected:
  std::unique_ptr<Messenger> NewMessenger(FakeBroker& broker, WatchScope watch = {}) {
    absl::StatusOr<std::unique_ptr<Messenger>> messenger =
        Messenger::Create(broker.NewConnection(), {.on_event = events_.Hook(), .watch = std::move(watch)});
    EXPECT_TRUE(messenger.ok()) << messenger.status();
    return messenger.ok() ? *std::move(messenger) : nullptr;
  }

  // Counts the calls of `method` from here on.
  void Count(FakeBroker& broker, const std::string& method) {
    broker.SetCallHook([this, method](absl::string_view called) {
      if (called == method) ++calls_;
      return absl::OkStatus();
    });
  }

  static void AwaitCovered(const Messenger& messenger, const std::string& channel) {
    while (!messenger.directory().Covers(channel)) std::this_thread::yield();
  }

  EventLog events_;
  std::atomic<int> calls_ = 0;
  FakeBroker broker_{kRareHeartbeats};
};

TEST_F(MessengerWatchTest, WhatWasAskedForOnceIsAnsweredFromMemory) {
  const auto producer = NewMessenger(broker_);
  const auto messenger = NewMessenger(broker_);
  ASSERT_TRUE(producer->RegisterProducer(Spec("a")).get().ok());
  ASSERT_TRUE(messenger->DiscoverProducer("a", absl::ZeroDuration()).ok());
  AwaitCovered(*messenger, "a");
  Count(broker_, "Discover");
  for (int i = 0; i < 100; ++i) {
    const auto found = messenger->DiscoverProducer("a", absl::ZeroDuration());
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_EQ(found->spec.segment_id, Spec("a").segment_id);
  }
  EXPECT_EQ(calls_, 0);
  EXPECT_TRUE(messenger->DiscoverProducer("a", absl::ZeroDuration(), Consistency::kStrong).ok());
  EXPECT_EQ(calls_, 1);
}

TEST_F(MessengerWatchTest, WhoNeitherAsksNorConsumesHasNoStream) {
  const auto producer = NewMessenger(broker_);
  ASSERT_TRUE(producer->RegisterProducer(Spec("a")).get().ok());
  EXPECT_EQ(broker_.stream_count(), 0u);
  const auto unwatching = NewMessenger(broker_, WatchScope::Nothing());
  ASSERT_TRUE(unwatching->DiscoverProducer("a", kPatience).ok());
  ASSERT_TRUE(unwatching->RegisterConsumer({.channel = "a"}).get().ok());
  EXPECT_EQ(broker_.stream_count(), 0u);
}

TEST_F(MessengerWatchTest, WhoWaitsForAChannelIsToldByTheStreamAndDoesNotAskAgain) {
  const auto messenger = NewMessenger(broker_);
  EXPECT_FALSE(messenger->DiscoverProducer("a", absl::ZeroDuration()).ok());
  AwaitCovered(*messenger, "a");
  Count(broker_, "Discover");
  absl::StatusOr<Channel> found;
  std::thread waiter([&] { found = messenger->DiscoverProducer("a", kPatience); });
  while (calls_ == 0) std::this_thread::yield();
  const auto producer = NewMessenger(broker_);
  ASSERT_TRUE(producer->RegisterProducer(Spec("a")).get().ok());
  waiter.join();
  EXPECT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(calls_, 1);
}

TEST_F(MessengerWatchTest, AClosingIsToldByTheStreamWithItsReasonAndSoIsTheComingBack) {
  const auto producer = NewMessenger(broker_);
  const auto consumer = NewMessenger(broker_);
  ASSERT_TRUE(producer->RegisterProducer(Spec("a")).get().ok());
  ASSERT_TRUE(consumer->RegisterConsumer({.channel = "a"}).get().ok());
  AwaitCovered(*consumer, "a");
  broker_.Expire("a");
  const auto closing = events_.Await(MessengerEventKind::kChannelClosing);
  ASSERT_TRUE(closing.has_value());
  EXPECT_EQ(closing->channel, "a");
  EXPECT_EQ(closing->close_reason, CloseReason::kLeaseExpired);
  EXPECT_EQ(ReasonOf(closing->status), reason::kChannelNotFound);
  EXPECT_EQ(ReasonOf(consumer->DiscoverProducer("a", absl::ZeroDuration()).status()),
            reason::kChannelNotFound);
  ASSERT_TRUE(producer->RegisterProducer(Spec("a", 2)).get().ok());
  EXPECT_TRUE(events_.Await(MessengerEventKind::kChannelBack).has_value());
}

TEST_F(MessengerWatchTest, AClosingBeforeTheStreamTellsOfTheChannelIsToldAllTheSame) {
  const auto producer = NewMessenger(broker_);
  const auto consumer = NewMessenger(broker_);
  ASSERT_TRUE(producer->RegisterProducer(Spec("a")).get().ok());
  std::latch registered(1);
  broker_.SetCallHook([&](absl::string_view method) {
    if (method == "Watch") registered.wait();
    return absl::OkStatus();
  });
  ASSERT_TRUE(consumer->RegisterConsumer({.channel = "a"}).get().ok());
  broker_.Expire("a");
  registered.count_down();
  EXPECT_TRUE(events_.Await(MessengerEventKind::kChannelClosing).has_value());
}

TEST_F(MessengerWatchTest, ABrokerThatDoesNotWatchIsAskedInstead) {
  FakeBroker broker;
  broker.SetCallHook([](absl::string_view method) {
    return method == "Watch" ? absl::UnimplementedError("NOT_IMPLEMENTED") : absl::OkStatus();
  });
  const auto producer = NewMessenger(broker);
  const auto consumer = NewMessenger(broker);
  absl::StatusOr<Channel> found;
  std::thread waiter([&] { found = consumer->DiscoverProducer("a", kPatience); });
  ASSERT_TRUE(producer->RegisterProducer(Spec("a")).get().ok());
  waiter.join();
  EXPECT_TRUE(found.ok()) << found.status();
  ASSERT_TRUE(consumer->RegisterConsumer({.channel = "a"}).get().ok());
  ASSERT_TRUE(producer->DeregisterProducer("a").get().ok());
  EXPECT_TRUE(events_.Await(MessengerEventKind::kChannelClosing).has_value());
}

TEST_F(MessengerWatchTest, WhatAMessengerChangedItselfIsInItsNextAnswer) {
  const auto messenger = NewMessenger(broker_, WatchScope::Everything());
  ASSERT_TRUE(messenger->AwaitDirectory(kPatience));
  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE(messenger->RegisterProducer(Spec("a")).get().ok());
    ASSERT_TRUE(messenger->DiscoverProducer("a", absl::ZeroDuration()).ok());
    ASSERT_TRUE(messenger->RegisterConsumer({.channel = "a"}).get().ok());
    ASSERT_EQ(messenger->DiscoverProducer("a", absl::ZeroDuration())->consumer_count, 1u);
    ASSERT_TRUE(messenger->DeregisterConsumer({.channel = "a"}).get().ok());
    ASSERT_EQ(messenger->DiscoverProducer("a", absl::ZeroDuration())->consumer_count, 0u);
    ASSERT_TRUE(messenger->DeregisterProducer("a").get().ok());
    ASSERT_FALSE(messenger->DiscoverProducer("a", absl::ZeroDuration()).ok());
  }
}

TEST_F(MessengerWatchTest, NobodySeesAKnownChannelVanishWhileABrokerThatKeepsItsStateIsRestarted) {
  const auto producer = NewMessenger(broker_);
  const auto messenger = NewMessenger(broker_);
  ASSERT_TRUE(producer->RegisterProducer(Spec("a")).get().ok());
  ASSERT_TRUE(messenger->DiscoverProducer("a", absl::ZeroDuration()).ok());
  AwaitCovered(*messenger, "a");
  std::atomic<bool> done = false;
  std::atomic<int> looks = 0;
  std::thread looker([&] {
    for (; !done; ++looks) {
      const auto found = messenger->DiscoverProducer("a", absl::ZeroDuration());
      ASSERT_TRUE(found.ok()) << found.status();
    }
  });
  for (int i = 0; i < 10; ++i) {
    broker_.SetCallHook([](absl::string_view) { return absl::UnavailableError("away"); });
    broker_.RestartWithState();
    const int before = looks;
    while (looks < before + 3) std::this_thread::yield();
    broker_.SetCallHook(nullptr);
    AwaitCovered(*messenger, "a");
  }
  done = true;
  looker.join();
}

TEST_F(MessengerWatchTest, AStreamThatBreaksIsResumedAndTellsWhatHappenedMeanwhile) {
  const auto producer = NewMessenger(broker_);
  const auto consumer = NewMessenger(broker_);
  ASSERT_TRUE(producer->RegisterProducer(Spec("a")).get().ok());
  ASSERT_TRUE(consumer->RegisterConsumer({.channel = "a"}).get().ok());
  AwaitCovered(*consumer, "a");
  std::latch closed(1);
  broker_.SetCallHook([&](absl::string_view method) {
    if (method == "Watch") closed.wait();
    return absl::OkStatus();
  });
  broker_.BreakStreams(absl::UnavailableError("broken"));
  broker_.Expire("a");
  closed.count_down();
  EXPECT_TRUE(events_.Await(MessengerEventKind::kChannelClosing).has_value());
  AwaitCovered(*consumer, "a");
  EXPECT_FALSE(broker_.last_watch().snapshot);
}

TEST_F(MessengerWatchTest, ManyNamesAreFollowedByFewPatterns) {
  const auto producer = NewMessenger(broker_);
  const auto messenger = NewMessenger(broker_);
  ASSERT_TRUE(producer->RegisterProducer(Spec("elsewhere")).get().ok());
  std::vector<std::string> names;
  for (int i = 0; i < 300; ++i) {
    names.push_back("rack." + std::to_string(i / 10) + ".sensor." + std::to_string(i % 10));
    ASSERT_TRUE(producer->RegisterProducer(Spec(names.back())).get().ok());
    ASSERT_TRUE(messenger->DiscoverProducer(names.back(), absl::ZeroDuration()).ok());
  }
  for (const std::string& name : names) AwaitCovered(*messenger, name);
  const size_t patterns = broker_.last_watch().name_patterns.size();
  EXPECT_LE(patterns, 100u);
  EXPECT_GE(patterns, 10u);
  // A stream that was begun anew with more names may still be telling of them.
  while (messenger->directory().size() < names.size()) std::this_thread::yield();
  EXPECT_EQ(messenger->directory().size(), names.size());
}

TEST_F(MessengerWatchTest, MorePatternsMayBeFollowedLater) {
  const auto producer = NewMessenger(broker_);
  const auto messenger = NewMessenger(broker_, {.patterns = {"a.?"}});
  for (const std::string name : {"a.1", "a.long", "b"}) {
    ASSERT_TRUE(producer->RegisterProducer(Spec(name)).get().ok());
  }
  AwaitCovered(*messenger, "a.1");
  EXPECT_FALSE(messenger->directory().Covers("a.long"));
  EXPECT_EQ(messenger->Follow("A*").code(), absl::StatusCode::kInvalidArgument);
  ASSERT_TRUE(messenger->Follow("a.*").ok());
  AwaitCovered(*messenger, "a.long");
  while (messenger->directory().List("a.").size() < 2) std::this_thread::yield();
  EXPECT_FALSE(messenger->directory().Covers("b"));
}

TEST_F(MessengerWatchTest, ScopesThatMakeNoSenseAreRefused) {
  const WatchScope empty_pattern = {.patterns = {""}};
  const WatchScope too_many = {.patterns = std::vector<std::string>(51, "a")};
  for (const WatchScope& scope : {empty_pattern, too_many}) {
    EXPECT_EQ(Messenger::Create(broker_.NewConnection(), {.watch = scope}).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
}

TEST_F(MessengerWatchTest, ANameThatNoChannelCanHaveDoesNotSpoilTheStreamOfOthers) {
  const auto messenger = NewMessenger(broker_);
  EXPECT_FALSE(messenger->DiscoverProducer("Not A Name", absl::ZeroDuration()).ok());
  EXPECT_FALSE(messenger->DiscoverProducer("camera.*", absl::ZeroDuration()).ok());
  EXPECT_FALSE(messenger->DiscoverProducer("a", absl::ZeroDuration()).ok());
  AwaitCovered(*messenger, "a");
  EXPECT_EQ(broker_.last_watch().name_patterns, std::vector<std::string>{"a"});
}

TEST_F(MessengerWatchTest, ABrokerThatIsBusyWithTheStreamDoesNotHoldUpDestruction) {
  std::latch entered(1);
  std::latch cancelled(1);
  auto messenger = NewMessenger(broker_);
  broker_.SetCallHook([&](absl::string_view method) -> absl::Status {
    if (method != "Watch") return absl::OkStatus();
    entered.count_down();
    cancelled.wait();
    return absl::CancelledError("cancelled");
  });
  EXPECT_FALSE(messenger->DiscoverProducer("a", absl::ZeroDuration()).ok());
  entered.wait();
  cancelled.count_down();
  messenger.reset();
}

// Every call, by eight threads on one Messenger, while streams break, events are forgotten, and brokers restart.
TEST_F(MessengerWatchTest, EightThreadsUseOneMessengerWhateverBecomesOfItsStream) {
  const uint64_t seed = testing::Seed();
  // Outlives the Messenger, which may be telling a listener when that is removed.
  std::atomic<int> told_count = 0;
  FakeBroker broker;
  const auto others = NewMessenger(broker);
  const auto messenger = NewMessenger(broker);
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(others->RegisterProducer(Spec("other." + std::to_string(i))).get().ok());
  }
  std::atomic<bool> done = false;
  std::atomic<int> found_count = 0;
  const auto work = [&](int thread) {
    std::mt19937_64 random(seed + static_cast<uint64_t>(thread));
    const std::string own = "own." + std::to_string(thread);
    for (int i = 0; i < 60; ++i) {
      const std::string other = "other." + std::to_string(random() % 5);
      switch (random() % 10) {
        case 0:
          (void)messenger->RegisterProducer(Spec(own)).get();
          break;
        case 1:
          (void)messenger->DeregisterProducer(own).get();
          break;
        case 2:
          (void)messenger->RegisterConsumer({.channel = other, .consumer_id = own}).get();
          break;
        case 3:
          (void)messenger->DeregisterConsumer({.channel = other, .consumer_id = own}).get();
          break;
        case 4:
          (void)messenger->ListChannels("", kPatience);
          (void)messenger->directory().List("o");
          break;
        case 5:
          EXPECT_TRUE(messenger->Follow("own." + std::to_string(random() % 8) + "*").ok());
          (void)messenger->LastHeartbeat();
          break;
        case 6:
          messenger->Supersede(Spec(own));
          break;
        case 7: {
          const auto listener = messenger->Listen([&](const MessengerEvent&) { ++told_count; });
          messenger->AwaitDirectory(absl::Milliseconds(random() % 20));
          (void)messenger->metrics();
          messenger->StopListening(listener);
          break;
        }
        default:
          if (messenger->DiscoverProducer(other, absl::Milliseconds(random() % 20)).ok()) ++found_count;
      }
    }
  };
  std::thread trouble([&] {
    std::mt19937_64 random(seed);
    while (!done) {
      switch (random() % 4) {
        case 0:
          broker.BreakStreams(absl::UnavailableError("broken"));
          break;
        case 1:
          broker.CompactEvents();
          broker.BreakStreams(absl::AbortedError("too slow"));
          break;
        case 2:
          broker.RestartWithState();
          break;
        default:
          broker.Restart();
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(5));  // trouble now and then, not all the time
    }
  });
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 8; ++thread) threads.emplace_back(work, thread);
  for (std::thread& thread : threads) thread.join();
  done = true;
  trouble.join();
  // What was lost is registered again, and then everybody agrees.
  for (int i = 0; i < 5; ++i) {
    EXPECT_TRUE(messenger->DiscoverProducer("other." + std::to_string(i), kPatience).ok());
  }
  EXPECT_GT(found_count, 0);
}

}  // namespace
}  // namespace pylabhub
