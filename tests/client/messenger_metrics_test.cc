#include "client/messenger_metrics.h"

#include <gtest/gtest.h>

#include <memory>
#include <thread>

#include "client/fake_broker_connection.h"
#include "client/messenger.h"
#include "tests/support/event_log.h"

namespace pylabhub {
namespace {

class MessengerMetricsTest : public ::testing::Test {
 protected:
  std::unique_ptr<Messenger> NewMessenger() {
    return *Messenger::Create(broker_.NewConnection(), {.on_event = events_.Hook()});
  }

  testing::EventLog events_;
  FakeBroker broker_{{.lease_ttl = absl::Hours(1), .heartbeat_interval = absl::Milliseconds(20)}};
};

TEST_F(MessengerMetricsTest, EachCallIsCountedByMethodAndOutcome) {
  const auto messenger = NewMessenger();
  ASSERT_TRUE(messenger->RegisterProducer({.name = "a"}).get().ok());
  EXPECT_FALSE(messenger->RegisterConsumer({.channel = "none"}).get().ok());
  broker_.SetCallHook([](absl::string_view method) {
    if (method == "Deregister") return absl::UnavailableError("away");
    if (method == "ListChannels") return absl::DeadlineExceededError("late");
    if (method == "ConsumerDeregister") return absl::CancelledError("cancelled");
    if (method == "Discover") return absl::InternalError("odd");
    return absl::OkStatus();
  });
  EXPECT_FALSE(messenger->DeregisterProducer("a").get().ok());
  EXPECT_FALSE(messenger->ListChannels("", absl::Seconds(1)).ok());
  EXPECT_FALSE(messenger->DeregisterConsumer({.channel = "a"}).get().ok());
  EXPECT_FALSE(messenger->DiscoverProducer("a", absl::ZeroDuration()).ok());
  auto calls = messenger->metrics().calls;
  EXPECT_EQ(calls["GetBrokerInfo"].ok, 1u);
  EXPECT_EQ(calls["Register"].ok, 1u);
  EXPECT_EQ(calls["ConsumerRegister"].refused, 1u);
  EXPECT_EQ(calls["Deregister"].unreachable, 1u);
  EXPECT_EQ(calls["ListChannels"].timed_out, 1u);
  EXPECT_EQ(calls["ConsumerDeregister"].cancelled, 1u);
  EXPECT_EQ(calls["Discover"].failed, 1u);
  EXPECT_GT(calls["Register"].total_time, absl::ZeroDuration());
  EXPECT_LE(calls["Register"].longest_time, calls["Register"].total_time);
}

TEST_F(MessengerMetricsTest, AnswersFromMemoryAreHitsAndQuestionsMisses) {
  const auto messenger = NewMessenger();
  ASSERT_TRUE(messenger->RegisterProducer({.name = "a"}).get().ok());
  ASSERT_TRUE(messenger->DiscoverProducer("a", absl::ZeroDuration()).ok());
  while (!messenger->directory().Covers("a")) std::this_thread::yield();
  ASSERT_TRUE(messenger->DiscoverProducer("a", absl::ZeroDuration()).ok());
  ASSERT_TRUE(messenger->DiscoverProducer("a", absl::ZeroDuration()).ok());
  const MessengerMetrics metrics = messenger->metrics();
  EXPECT_EQ(metrics.directory_misses, 1u);
  EXPECT_EQ(metrics.directory_hits, 2u);
  EXPECT_EQ(metrics.watch_streams, 1u);
  EXPECT_EQ(metrics.watch_snapshots, 1u);
  EXPECT_GE(metrics.watch_events, 2u);
  EXPECT_EQ(metrics.directory_channels, 1u);
  EXPECT_TRUE(metrics.directory_is_fresh);
  EXPECT_EQ(metrics.directory_revision, broker_.revision());
}

TEST_F(MessengerMetricsTest, LossesOfTheBrokerAndWhatIsLeftOfTheLeaseAreTold) {
  const auto messenger = NewMessenger();
  EXPECT_EQ(messenger->metrics().min_lease_slack, absl::InfiniteDuration());
  ASSERT_TRUE(messenger->RegisterProducer({.name = "a"}).get().ok());
  while (messenger->metrics().last_lease_slack == absl::InfiniteDuration()) std::this_thread::yield();
  EXPECT_LT(messenger->metrics().last_lease_slack, absl::Hours(1));
  EXPECT_GT(messenger->metrics().min_lease_slack, absl::Minutes(55));
  broker_.SetCallHook([](absl::string_view) { return absl::UnavailableError("away"); });
  ASSERT_TRUE(events_.Await(MessengerEventKind::kBrokerUnreachable).has_value());
  broker_.SetCallHook(nullptr);
  ASSERT_TRUE(events_.Await(MessengerEventKind::kBrokerBack).has_value());
  const MessengerMetrics metrics = messenger->metrics();
  EXPECT_EQ(metrics.broker_losses, 1u);
  EXPECT_EQ(metrics.reconnections, 1u);
  EXPECT_EQ(metrics.events.at(MessengerEventKind::kBrokerBack), 1u);
}

}  // namespace
}  // namespace pylabhub
