// Leases: what ends when, to the nanosecond.

#include <random>

#include "broker/channel_registry.h"
#include "tests/broker/registry_fixture.h"

namespace pylabhub::broker {
namespace {

using testing::IsEmpty;

class LeaseTest : public RegistryFixture {};

TEST_F(LeaseTest, ANameIsHeldUntilTheInstantItsLeaseEnds) {
  MakeReady(kAlice, "a");
  now_ += kTtl - kTick;
  EXPECT_EQ(ReasonOf(Discover("a")), "");
  EXPECT_EQ(ReasonOf(Register(kBob, SpecOf("a", 'b'))), "CHANNEL_HELD");
  now_ += kTick;
  EXPECT_EQ(ReasonOf(Discover("a")), "CHANNEL_NOT_FOUND");
  EXPECT_EQ(ReasonOf(Register(kBob, SpecOf("a", 'b'))), "");
}

TEST_F(LeaseTest, AHeartbeatRenewsEverythingThatTheSessionHolds) {
  MakeReady(kAlice, "a");
  MakeReady(kAlice, "b");
  MakeReady(kBob, "c");
  Consume(kAlice, "c").value();
  now_ += kTtl - kTick;
  Heartbeat(kAlice);
  Heartbeat(kBob);
  now_ += kTtl - kTick;
  EXPECT_EQ(ReasonOf(Discover("a")), "");
  EXPECT_EQ(ReasonOf(Discover("b")), "");
  EXPECT_EQ(Discover("c")->consumer_count, 1u);
  now_ += kTick;
  for (const char* name : {"a", "b", "c"}) EXPECT_EQ(ReasonOf(Discover(name)), "CHANNEL_NOT_FOUND");
}

TEST_F(LeaseTest, APendingChannelWhoseProducerDiesBeforeItsFirstHeartbeatEndsWithItsLease) {
  ASSERT_TRUE(Register(kAlice, SpecOf("a")).ok());
  now_ += kTtl;
  EXPECT_EQ(ReasonOf(Register(kBob, SpecOf("a", 'b'))), "");
}

TEST_F(LeaseTest, AConsumerIsCountedUntilTheInstantItsLeaseEnds) {
  MakeReady(kAlice, "a");
  Consume(kBob, "a").value();
  now_ += kTtl - kTick;
  Heartbeat(kAlice);
  EXPECT_EQ(Discover("a")->consumer_count, 1u);
  now_ += kTick;
  EXPECT_EQ(Discover("a")->consumer_count, 0u);
}

TEST_F(LeaseTest, ATakeoverAfterExpiryHasANewEpochAndTheOldHolderIsFenced) {
  const ChannelView first = MakeReady(kAlice, "a", '1');
  now_ += kTtl;
  const ChannelView second = MakeReady(kBob, "a", '2');
  EXPECT_GT(second.epoch, first.epoch);
  const SessionStatus status = Heartbeat(kAlice, {.channels = {{"a", first.epoch}}});
  EXPECT_FALSE(status.known);
  ASSERT_EQ(status.lost_channels.size(), 1u);
  EXPECT_EQ(status.lost_channels[0].reason, LossReason::kFenced);
  EXPECT_EQ(ReasonOf(Register(kAlice, SpecOf("a", '1'))), "CHANNEL_HELD");
}

TEST_F(LeaseTest, AHeartbeatNamesWhatTheBrokerDoesNotKnow) {
  MakeReady(kAlice, "a");
  MakeReady(kBob, "b");
  Consume(kAlice, "b", "x").value();
  const SessionStatus status = Heartbeat(
      kAlice, {.channels = {{"a", 0}, {"ghost", 17}}, .consumers = {{"b", "x"}, {"b", "y"}, {"ghost", ""}}});
  EXPECT_TRUE(status.known);
  ASSERT_EQ(status.lost_channels.size(), 1u);
  EXPECT_EQ(status.lost_channels[0].claim.name, "ghost");
  EXPECT_EQ(status.lost_channels[0].claim.epoch, 17u);
  EXPECT_EQ(status.lost_channels[0].reason, LossReason::kUnknownToBroker);
  ASSERT_EQ(status.lost_consumers.size(), 2u);
  EXPECT_EQ(status.lost_consumers[0].consumer_id, "y");
  EXPECT_EQ(status.lost_consumers[1].channel_name, "ghost");
}

TEST_F(LeaseTest, AProducerThatLapsedAndComesBackIsToldToRegisterAgain) {
  const ChannelView first = MakeReady(kAlice, "a");
  Consume(kBob, "a").value();
  now_ += kTtl - kTick;
  Heartbeat(kBob);
  now_ += kTick;
  const SessionStatus status = Heartbeat(kAlice, {.channels = {{"a", first.epoch}}});
  EXPECT_FALSE(status.known);
  ASSERT_EQ(status.lost_channels.size(), 1u);
  EXPECT_EQ(status.lost_channels[0].reason, LossReason::kUnknownToBroker);

  // It is the same segment, and its consumer is still counted.
  const ChannelView second = MakeReady(kAlice, "a");
  EXPECT_GT(second.epoch, first.epoch);
  EXPECT_EQ(second.consumer_count, 1u);
  EXPECT_EQ(second.predecessor_segment_id, "");
}

TEST_F(LeaseTest, AClosingChannelIsForgottenWithItsLastConsumer) {
  MakeReady(kAlice, "a");
  Consume(kBob, "a").value();
  ASSERT_TRUE(Deregister(kAlice, "a").ok());
  ASSERT_EQ(registry_.List({}, now_).channels.size(), 1u);
  EXPECT_EQ(registry_.List({}, now_).channels[0].state, ChannelState::kClosing);
  ASSERT_TRUE(StopConsuming(kBob, "a").ok());
  EXPECT_THAT(registry_.List({}, now_).channels, IsEmpty());
}

TEST_F(LeaseTest, AClosingChannelIsForgottenWhenItsTimeHasComeAlthoughItIsConsumed) {
  MakeReady(kAlice, "a");
  Consume(kBob, "a").value();
  MakeReady(kBob, "b");
  ASSERT_TRUE(Deregister(kAlice, "a").ok());
  const absl::Time end = now_ + kClosingTtl;
  for (; now_ + kTtl / 2 < end; now_ += kTtl / 2) Heartbeat(kBob);
  now_ = end - kTick;
  Heartbeat(kBob);
  EXPECT_EQ(registry_.List({}, now_).channels.size(), 2u);
  now_ = end;
  EXPECT_EQ(registry_.List({}, now_).channels.size(), 1u);
  // The consumer's session goes on, and its heartbeat says what is lost.
  const SessionStatus status = Heartbeat(kBob, {.consumers = {{"a", ""}}});
  EXPECT_TRUE(status.known);
  EXPECT_EQ(status.consumer_count, 0u);
  EXPECT_EQ(status.lost_consumers.size(), 1u);
}

TEST_F(LeaseTest, TimeInWhichTheBrokerStoodStillIsGivenBack) {
  MakeReady(kAlice, "a");
  now_ += absl::Hours(1);
  registry_.GiveBack(absl::Hours(1));
  now_ += kTtl - kTick;
  EXPECT_EQ(ReasonOf(Discover("a")), "");
  now_ += kTick;
  EXPECT_EQ(ReasonOf(Discover("a")), "CHANNEL_NOT_FOUND");
}

TEST_F(LeaseTest, NextExpiryIsWhenTheNextLeaseEndsOrTheNextChannelIsForgotten) {
  EXPECT_EQ(registry_.NextExpiry(), absl::InfiniteFuture());
  MakeReady(kAlice, "a");
  const absl::Time start = now_;
  EXPECT_EQ(registry_.NextExpiry(), start + kTtl);
  now_ += absl::Seconds(1);
  MakeReady(kBob, "b");
  EXPECT_EQ(registry_.NextExpiry(), start + kTtl);
  now_ = start + kTtl;
  registry_.Expire(now_);
  EXPECT_EQ(registry_.NextExpiry(), start + absl::Seconds(1) + kTtl);
}

TEST_F(LeaseTest, AnExpiryIsToldWithItsReason) {
  MakeReady(kAlice, "a");
  registry_.TakeEvents();
  now_ += kTtl;
  registry_.Expire(now_);
  const std::vector<Event> events = registry_.TakeEvents();
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].kind, EventKind::kChannelClosing);
  EXPECT_EQ(events[0].channel.close_reason, CloseReason::kLeaseExpired);
  EXPECT_EQ(events[0].channel.producer_identity, "alice");
  EXPECT_EQ(events[1].kind, EventKind::kChannelRemoved);
}

TEST_F(LeaseTest, ABatchOfSessionsIsRenewedTogetherOrNotAtAll) {
  MakeReady(kAlice, "a");
  MakeReady(kAliceAgain, "b");
  MakeReady(kBob, "c");
  now_ += kTtl - kTick;
  const std::vector<SessionClaims> own = {{.session_id = kAlice.session_id},
                                          {.session_id = kAliceAgain.session_id}};
  const auto renewed = registry_.Heartbeat("alice", own, now_);
  ASSERT_TRUE(renewed.ok()) << renewed.status();
  EXPECT_EQ(renewed->size(), 2u);
  now_ += absl::Seconds(5);
  EXPECT_EQ(ReasonOf(Discover("a")), "");
  EXPECT_EQ(ReasonOf(Discover("b")), "");
  EXPECT_EQ(ReasonOf(Discover("c")), "CHANNEL_NOT_FOUND");

  MakeReady(kBob, "c");
  std::vector<SessionClaims> mixed = own;
  mixed.push_back({.session_id = kBob.session_id});
  EXPECT_EQ(ReasonOf(registry_.Heartbeat("alice", mixed, now_)), "SESSION_NOT_YOURS");
  EXPECT_EQ(Discover("a")->lease_expire_time, now_ - absl::Seconds(5) + kTtl);
}

class LimitTest : public RegistryFixture {
 protected:
  LimitTest()
      : RegistryFixture({.lease_ttl = kTtl,
                         .limits = {.max_channels = 3,
                                    .max_consumers_per_channel = 2,
                                    .max_channels_per_identity = 2,
                                    .max_consumers_per_identity = 2,
                                    .max_sessions_per_identity = 2,
                                    .max_spec_bytes_per_identity = 1000}}) {}

  static std::string LimitOf(const absl::Status& status) {
    const auto details = DetailsOf(status);
    return details.has_value() && details->reason == "LIMIT_EXCEEDED" ? details->metadata.at("limit")
                                                                      : std::string(status.message());
  }
};

TEST_F(LimitTest, OneIdentityHoldsNoMoreThanItMayAndOthersGoOn) {
  ASSERT_TRUE(Register(kAlice, SpecOf("a")).ok());
  ASSERT_TRUE(Register(kAlice, SpecOf("b")).ok());
  const auto refused = Register(kAlice, SpecOf("c"));
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(LimitOf(refused.status()), "channels_per_identity");
  EXPECT_TRUE(DetailsOf(refused.status())->retry_delay.has_value());
  EXPECT_EQ(ReasonOf(Register(kBob, SpecOf("c"))), "");
  EXPECT_EQ(LimitOf(Register(kCarol, SpecOf("d")).status()), "channels");

  // What it holds it may register anew, and what it gives up it may have again.
  EXPECT_EQ(ReasonOf(Register(kAlice, SpecOf("a", '2'))), "");
  ASSERT_TRUE(Deregister(kAlice, "b").ok());
  EXPECT_EQ(ReasonOf(Register(kAlice, SpecOf("d"))), "");
}

TEST_F(LimitTest, ATakeoverMakesNoNewChannel) {
  for (const char* name : {"a", "b"}) MakeReady(kAlice, name);
  MakeReady(kBob, "c");
  Consume(kBob, "a").value();
  now_ += kTtl - kTick;
  Heartbeat(kBob);
  now_ += kTick;
  EXPECT_EQ(ReasonOf(Register(kBob, SpecOf("a", '2'))), "");
}

TEST_F(LimitTest, MetadataIsCountedUntilItsChannelIsGone) {
  ChannelSpec spec = SpecOf("a");
  spec.metadata = {{"k", std::string(998, 'v')}};  // with the name and the key exactly 1000
  EXPECT_EQ(ReasonOf(Register(kAlice, spec)), "");
  EXPECT_EQ(LimitOf(Register(kAlice, SpecOf("b")).status()), "spec_bytes_per_identity");
  ASSERT_TRUE(Deregister(kAlice, "a").ok());
  EXPECT_EQ(ReasonOf(Register(kAlice, SpecOf("b"))), "");
}

TEST_F(LimitTest, ConsumersAreLimitedByChannelAndByIdentity) {
  MakeReady(kAlice, "a");
  MakeReady(kAlice, "b");
  EXPECT_EQ(ReasonOf(Consume(kBob, "a", "1")), "");
  EXPECT_EQ(ReasonOf(Consume(kBob, "a", "2")), "");
  EXPECT_EQ(LimitOf(Consume(kCarol, "a").status()), "consumers_per_channel");
  EXPECT_EQ(LimitOf(Consume(kBob, "b").status()), "consumers_per_identity");
  EXPECT_EQ(ReasonOf(Consume(kBob, "a", "1")), "");
  ASSERT_TRUE(StopConsuming(kBob, "a", "1").ok());
  EXPECT_EQ(ReasonOf(Consume(kBob, "b")), "");
}

TEST_F(LimitTest, SessionsAreLimitedByIdentityAndFreedByExpiry) {
  MakeReady(kAlice, "a");
  MakeReady(kAliceAgain, "b");
  const Caller third = {"alice", "session-alice-third"};
  MakeReady(kBob, "c");
  EXPECT_EQ(LimitOf(Consume(third, "c").status()), "sessions_per_identity");
  now_ += kTtl - kTick;
  Heartbeat(kBob);
  now_ += kTick;
  EXPECT_EQ(ReasonOf(Consume(third, "c")), "");
}

// Random callers do random things for a long time; what must always hold, holds.
TEST_F(LeaseTest, RandomOperationsNeverBreakWhatMustHold) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  const auto pick = [&](int n) { return static_cast<int>(random() % n); };
  const Caller callers[] = {kAlice, kAliceAgain, kBob, kCarol, {"bob", kAlice.session_id}};
  const std::string names[] = {"a", "b", "c"};
  std::map<std::string, uint64_t> last_epoch;
  uint64_t last_revision = 0;
  int takeovers = 0;
  for (int step = 0; step < 20'000; ++step) {
    const Caller& caller = callers[pick(5)];
    const std::string& name = names[pick(3)];
    switch (pick(8)) {
      case 0:
      case 1:
        if (const auto got = Register(caller, SpecOf(name, static_cast<char>('0' + pick(3))), pick(4) == 0);
            got.ok()) {
          ASSERT_GE(got->epoch, last_epoch[name]);
          takeovers += got->epoch > last_epoch[name] && !got->predecessor_segment_id.empty();
          last_epoch[name] = got->epoch;
        }
        break;
      case 2:
        (void)Deregister(caller, name).ok();
        break;
      case 3:
        (void)Consume(caller, name, std::to_string(pick(2))).ok();
        break;
      case 4:
        (void)StopConsuming(caller, name, std::to_string(pick(2))).ok();
        break;
      case 5:
        (void)registry_.Heartbeat(caller.identity, {{.session_id = caller.session_id}}, now_).ok();
        break;
      case 6:
        if (const auto found = Discover(name); found.ok()) {
          ASSERT_EQ(found->state, ChannelState::kReady);
          ASSERT_EQ(found->epoch, last_epoch[name]);
          ASSERT_GT(found->lease_expire_time, now_);
        }
        break;
      default:
        now_ += kTtl * pick(100) / 200;
    }
    registry_.Expire(now_);
    ASSERT_GT(registry_.NextExpiry(), now_);
    for (const Event& event : registry_.TakeEvents()) ASSERT_EQ(event.revision, ++last_revision);
  }
  EXPECT_GT(takeovers, 0);
  now_ += kTtl + kClosingTtl;
  registry_.Expire(now_);
  EXPECT_THAT(registry_.List({}, now_).channels, IsEmpty());
  EXPECT_EQ(registry_.NextExpiry(), absl::InfiniteFuture());
}

// What keeps a broker whose network is gone for a moment from ending everybody's leases.
class MassExpiryTest : public RegistryFixture {
 protected:
  const absl::Duration kInterval = RegistryOptions{.lease_ttl = kTtl}.heartbeat_interval();

  // `silent` sessions whose leases end now, and `renewed` ones that have just been heard of.
  void Fill(int silent, int renewed) {
    for (int i = 0; i < silent + renewed; ++i) ASSERT_TRUE(Register(Nth(i), SpecOf(NameOf(i))).ok());
    now_ += kTtl - kTick;
    for (int i = silent; i < silent + renewed; ++i) Heartbeat(Nth(i));
    now_ += kTick;
  }
  // Ten silent sessions: the lease of one ends now, those of the others later by `spread`.
  void SpreadTen(absl::Duration spread) {
    ASSERT_TRUE(Register(Nth(0), SpecOf(NameOf(0))).ok());
    now_ += spread;
    for (int i = 1; i < 10; ++i) ASSERT_TRUE(Register(Nth(i), SpecOf(NameOf(i))).ok());
    now_ += kTtl - spread;
  }
  static Caller Nth(int i) { return {"somebody", "session-" + std::to_string(i)}; }
  static std::string NameOf(int i) { return "channel." + std::to_string(i); }
  size_t LiveSessions() {
    registry_.Expire(now_);
    return registry_.session_count();
  }
};

TEST_F(MassExpiryTest, MoreThanHalfOfAllSessionsAreHeldForOneLeaseMoreAndThenEnd) {
  Fill(11, 10);
  EXPECT_EQ(LiveSessions(), 21u);
  EXPECT_EQ(registry_.held_session_count(), 11u);
  for (int i = 11; i < 21; ++i) Heartbeat(Nth(i));
  now_ += kTtl - kTick;
  for (int i = 11; i < 21; ++i) Heartbeat(Nth(i));
  EXPECT_EQ(LiveSessions(), 21u);
  now_ += kTick;
  EXPECT_EQ(LiveSessions(), 10u);
  EXPECT_EQ(registry_.held_session_count(), 11u);
}

TEST_F(MassExpiryTest, HalfOfAllSessionsEndWithTheirLeases) {
  Fill(10, 10);
  EXPECT_EQ(LiveSessions(), 10u);
  EXPECT_EQ(registry_.held_session_count(), 0u);
}

TEST_F(MassExpiryTest, FewerThanTenSessionsEndWithTheirLeasesHoweverLargeTheirShare) {
  Fill(9, 0);
  EXPECT_EQ(LiveSessions(), 0u);
}

TEST_F(MassExpiryTest, AllOfTenSessionsAreHeld) {
  Fill(10, 0);
  EXPECT_EQ(LiveSessions(), 10u);
}

TEST_F(MassExpiryTest, LeasesThatEndWithinAHeartbeatIntervalOfTheFirstCount) {
  SpreadTen(kInterval);
  EXPECT_EQ(LiveSessions(), 10u);
}

TEST_F(MassExpiryTest, LeasesThatEndLaterDoNotCount) {
  SpreadTen(kInterval + kTick);
  EXPECT_EQ(LiveSessions(), 9u);
}

TEST_F(MassExpiryTest, AHeldSessionThatIsHeardOfAgainIsAsGoodAsAnyOther) {
  Fill(10, 0);
  EXPECT_EQ(LiveSessions(), 10u);
  for (int i = 0; i < 10; ++i) Heartbeat(Nth(i));
  now_ += kTtl;
  EXPECT_EQ(LiveSessions(), 10u);
  EXPECT_EQ(registry_.held_session_count(), 20u);
}

}  // namespace
}  // namespace pylabhub::broker
