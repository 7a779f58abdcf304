// Rights that are taken away: what ends with them, what goes on, and who is told.

#include "tests/broker/registry_fixture.h"

namespace pylabhub::broker {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class RevokeTest : public RegistryFixture {
 protected:
  static Caller With(Caller caller, const std::string& serial) {
    caller.certificate_serial = serial;
    return caller;
  }
  Revoked RevokeSerial(const std::string& serial) {
    return registry_.RevokeSessions(
        [&](const SessionHolder& holder) { return holder.certificate_serial == serial; }, now_);
  }
  Revoked RevokeIdentity(const std::string& identity) {
    return registry_.RevokeSessions([&](const SessionHolder& holder) { return holder.identity == identity; },
                                    now_);
  }
};

TEST_F(RevokeTest, ARevokedIdentitysSessionsEndWithAllThatTheyHold) {
  MakeReady(kAlice, "a");
  MakeReady(kAliceAgain, "again");
  MakeReady(kBob, "b");
  EXPECT_EQ(ReasonOf(Consume(kAlice, "b")), "");
  EXPECT_EQ(ReasonOf(Consume(kCarol, "b")), "");
  registry_.TakeEvents();

  const Revoked revoked = RevokeIdentity("alice");
  EXPECT_EQ(revoked.sessions, 2u);
  EXPECT_EQ(revoked.channels, 2u);
  EXPECT_EQ(revoked.consumers, 1u);
  EXPECT_EQ(ReasonOf(Discover("a")), "CHANNEL_NOT_FOUND");
  EXPECT_EQ(ReasonOf(Discover("again")), "CHANNEL_NOT_FOUND");
  EXPECT_FALSE(Heartbeat(kAlice).known);
  EXPECT_EQ(registry_.usage().sessions, 2);
  EXPECT_EQ(registry_.usage().consumers, 1);
  EXPECT_EQ(Discover("b")->consumer_count, 1u);
}

TEST_F(RevokeTest, WhatEndsWithARevocationSaysSo) {
  MakeReady(kAlice, "a");
  MakeReady(kBob, "b");
  EXPECT_EQ(ReasonOf(Consume(kAlice, "b")), "");
  registry_.TakeEvents();
  RevokeIdentity("alice");
  const std::vector<Event> events = registry_.TakeEvents();
  ASSERT_THAT(events, SizeIs(2));
  EXPECT_EQ(events[0].kind, EventKind::kConsumerLeft);
  EXPECT_EQ(events[0].leave_reason, LeaveReason::kRevoked);
  EXPECT_EQ(events[1].kind, EventKind::kChannelClosing);
  EXPECT_EQ(events[1].channel.close_reason, CloseReason::kRevoked);
}

TEST_F(RevokeTest, OtherEndsOfAConsumerSayWhichTheyAre) {
  MakeReady(kAlice, "a");
  EXPECT_EQ(ReasonOf(Consume(kBob, "a")), "");
  EXPECT_EQ(ReasonOf(Consume(kCarol, "a")), "");
  registry_.TakeEvents();
  EXPECT_EQ(ReasonOf(StopConsuming(kBob, "a")), "");
  EXPECT_EQ(registry_.TakeEvents().back().leave_reason, LeaveReason::kDeregistered);
  now_ += kTtl / 2;
  Heartbeat(kAlice);
  now_ += kTtl / 2;
  registry_.Expire(now_);
  EXPECT_EQ(registry_.TakeEvents().back().leave_reason, LeaveReason::kLeaseExpired);
}

TEST_F(RevokeTest, ARevokedSerialEndsTheSessionsThatItSpokeForLast) {
  MakeReady(With(kAlice, "1f"), "a");
  MakeReady(With(kAliceAgain, "2e"), "again");
  EXPECT_EQ(RevokeSerial("1f").sessions, 1u);
  EXPECT_EQ(ReasonOf(Discover("a")), "CHANNEL_NOT_FOUND");
  EXPECT_EQ(ReasonOf(Discover("again")), "");
}

TEST_F(RevokeTest, ARenewedCertificateKeepsItsSessionWhenTheOldOneIsRevoked) {
  MakeReady(With(kAlice, "1f"), "a");
  EXPECT_TRUE(registry_.Heartbeat("alice", {{.session_id = kAlice.session_id}}, now_, "2e").ok());
  EXPECT_EQ(RevokeSerial("1f").sessions, 0u);
  EXPECT_EQ(ReasonOf(Discover("a")), "");
  EXPECT_EQ(RevokeSerial("2e").sessions, 1u);
}

TEST_F(RevokeTest, WhichCertificateSpokeLastOutlivesTheBroker) {
  MakeReady(With(kAlice, "1f"), "a");
  EXPECT_TRUE(registry_.Heartbeat("alice", {{.session_id = kAlice.session_id}}, now_, "2e").ok());
  RegistryState state;
  for (const Change& change : registry_.TakeChanges()) {
    if (const auto* session = std::get_if<SessionRecord>(&change.record)) state.sessions = {*session};
  }
  ChannelRegistry restarted(RegistryOptions{});
  restarted.Restore(state, now_);
  const auto is_renewed = [](const SessionHolder& holder) { return holder.certificate_serial == "2e"; };
  EXPECT_EQ(restarted.RevokeSessions(is_renewed, now_).sessions, 1u);
}

TEST_F(RevokeTest, ARevocationIsKeptLikeAnyOtherEnd) {
  MakeReady(kAlice, "a");
  registry_.TakeChanges();
  RevokeIdentity("alice");
  std::vector<std::string> keys;
  for (const Change& change : registry_.TakeChanges()) keys.push_back(change.key);
  EXPECT_THAT(keys, ElementsAre(SessionKeyOf(kAlice.session_id), ChannelKeyOf("a")));
}

TEST_F(RevokeTest, AProducerThatLostTheRightToOneChannelLearnsSoAndKeepsItsOthers) {
  const uint64_t epoch = MakeReady(kAlice, "a").epoch;
  MakeReady(kAlice, "b");
  const Revoked revoked = registry_.RevokeChannels(
      [](absl::string_view identity, absl::string_view channel) {
        return identity == "alice" && channel == "a";
      },
      now_);
  EXPECT_EQ(revoked.channels, 1u);
  EXPECT_EQ(ReasonOf(Discover("b")), "");
  const SessionStatus status = Heartbeat(kAlice, {.channels = {{"a", epoch}, {"b", 0}}});
  ASSERT_THAT(status.lost_channels, SizeIs(1));
  EXPECT_EQ(status.lost_channels[0].claim.name, "a");
  EXPECT_EQ(status.lost_channels[0].reason, LossReason::kRevoked);
}

TEST_F(RevokeTest, AConsumerThatLostTheRightLeavesAndItsSessionGoesOn) {
  MakeReady(kAlice, "a");
  MakeReady(kAlice, "b");
  for (const char* channel : {"a", "b"}) EXPECT_EQ(ReasonOf(Consume(kBob, channel)), "");
  registry_.TakeEvents();
  const Revoked revoked =
      registry_.RevokeConsumers([](absl::string_view identity,
                                   absl::string_view channel) { return identity == "bob" && channel == "a"; },
                                now_);
  EXPECT_EQ(revoked.consumers, 1u);
  EXPECT_EQ(registry_.TakeEvents().back().leave_reason, LeaveReason::kRevoked);
  const SessionStatus status = Heartbeat(kBob, {.consumers = {{"a", ""}, {"b", ""}}});
  EXPECT_TRUE(status.known);
  ASSERT_THAT(status.lost_consumers, SizeIs(1));
  EXPECT_EQ(status.lost_consumers[0].channel_name, "a");
}

TEST_F(RevokeTest, ARevokedChannelIsForgottenWhenItsTimeHasComeAndCanBeRegisteredAtOnce) {
  MakeReady(kAlice, "a");
  MakeReady(kAlice, "b");
  RevokeIdentity("alice");
  EXPECT_EQ(ReasonOf(Register(kBob, SpecOf("b"))), "");
  now_ += kClosingTtl;
  registry_.Expire(now_);
  EXPECT_THAT(registry_.List({}, now_).channels, IsEmpty());
  EXPECT_EQ(registry_.usage().channels, 0);
}

}  // namespace
}  // namespace pylabhub::broker
