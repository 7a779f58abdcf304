#include "broker/channel_registry.h"

#include "tests/broker/registry_fixture.h"

namespace pylabhub::broker {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;
using testing::UnorderedElementsAre;

class ChannelRegistryTest : public RegistryFixture {};

TEST_F(ChannelRegistryTest, WhatWasRegisteredIsDiscovered) {
  ChannelSpec spec = SpecOf("sensor.temperature");
  spec.metadata = {{"capacity_slots", "64"}};
  spec.process = {.pid = 7, .host = "lab1"};
  ASSERT_TRUE(Register(kAlice, spec).ok());
  Heartbeat(kAlice);

  const auto channel = Discover("sensor.temperature");
  ASSERT_TRUE(channel.ok()) << channel.status();
  EXPECT_EQ(channel->spec->schema_hash, kHash);
  EXPECT_EQ(channel->spec->segment_id, spec.segment_id);
  EXPECT_EQ(channel->spec->schema_version, 3u);
  EXPECT_THAT(channel->spec->metadata, ElementsAre(Pair("capacity_slots", "64")));
  EXPECT_EQ(channel->spec->process.host, "lab1");
  EXPECT_EQ(channel->producer_identity, "alice");
  EXPECT_EQ(channel->state, ChannelState::kReady);
  EXPECT_EQ(channel->consumer_count, 0u);
  EXPECT_EQ(channel->register_time, now_);
  EXPECT_EQ(channel->lease_expire_time, now_ + kTtl);
}

TEST_F(ChannelRegistryTest, AnUnknownChannelIsNotFoundAndItsNameIsTold) {
  const auto channel = Discover("no.such");
  EXPECT_EQ(channel.status().code(), absl::StatusCode::kNotFound);
  const auto details = DetailsOf(channel.status());
  ASSERT_TRUE(details.has_value());
  EXPECT_EQ(details->reason, "CHANNEL_NOT_FOUND");
  EXPECT_THAT(details->metadata, ElementsAre(Pair("channel", "no.such")));
  EXPECT_TRUE(details->retry_delay.has_value());
}

TEST_F(ChannelRegistryTest, AChannelIsNotReadyUntilItsSessionsFirstHeartbeat) {
  ASSERT_TRUE(Register(kAlice, SpecOf("a")).ok());
  EXPECT_EQ(ReasonOf(Discover("a")), "CHANNEL_NOT_READY");
  EXPECT_EQ(ReasonOf(Consume(kBob, "a")), "CHANNEL_NOT_READY");
  Heartbeat(kBob);
  EXPECT_EQ(ReasonOf(Discover("a")), "CHANNEL_NOT_READY");
  Heartbeat(kAlice);
  EXPECT_EQ(ReasonOf(Discover("a")), "");
}

TEST_F(ChannelRegistryTest, AHeartbeatThatListsOtherChannelsLeavesAnUnlistedOnePending) {
  ASSERT_TRUE(Register(kAlice, SpecOf("answer.lost")).ok());
  const auto known = Register(kAlice, SpecOf("known"));
  const SessionStatus status = Heartbeat(kAlice, {.channels = {{"known", known->epoch}}});
  EXPECT_EQ(ReasonOf(Discover("known")), "");
  EXPECT_EQ(ReasonOf(Discover("answer.lost")), "CHANNEL_NOT_READY");
  EXPECT_EQ(status.channel_count, 2u);
  EXPECT_THAT(status.lost_channels, IsEmpty());
}

TEST_F(ChannelRegistryTest, RegisteringAgainWithTheSameSegmentChangesNothingButTheLease) {
  const ChannelView first = MakeReady(kAlice, "a");
  registry_.TakeEvents();
  now_ += absl::Seconds(4);
  const auto again = Register(kAlice, SpecOf("a"));
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->epoch, first.epoch);
  EXPECT_EQ(again->state, ChannelState::kReady);
  EXPECT_EQ(again->revision, first.revision);
  EXPECT_EQ(again->lease_expire_time, now_ + kTtl);
  EXPECT_THAT(registry_.TakeEvents(), IsEmpty());
}

TEST_F(ChannelRegistryTest, TheSameSessionWithANewSegmentGetsANewEpochAndNamesThePredecessor) {
  const ChannelView first = MakeReady(kAlice, "a", '1');
  const auto second = Register(kAlice, SpecOf("a", '2'));
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_GT(second->epoch, first.epoch);
  EXPECT_EQ(second->state, ChannelState::kPending);
  EXPECT_EQ(second->predecessor_segment_id, std::string(16, '1'));
}

TEST_F(ChannelRegistryTest, ALiveHolderIsNamedToWhoeverWantsItsChannel) {
  ChannelSpec spec = SpecOf("a");
  spec.process = {.pid = 4711, .host = "lab1"};
  const auto held = Register(kAlice, spec);
  now_ += absl::Seconds(3);
  const auto refused = Register(kBob, SpecOf("a", 'b'));
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kAlreadyExists);
  const auto details = DetailsOf(refused.status());
  ASSERT_TRUE(details.has_value());
  EXPECT_EQ(details->reason, "CHANNEL_HELD");
  EXPECT_THAT(details->metadata,
              UnorderedElementsAre(Pair("channel", "a"), Pair("holder", "alice"), Pair("host", "lab1"),
                                   Pair("pid", "4711"), Pair("epoch", std::to_string(held->epoch))));
  EXPECT_EQ(details->retry_delay, kTtl - absl::Seconds(3));
}

TEST_F(ChannelRegistryTest, AnotherSchemaOnAHeldNameIsRefusedWithBothHashes) {
  MakeReady(kAlice, "a");
  for (const Caller& caller : {kAlice, kBob}) {
    const auto refused = Register(caller, SpecOf("a", '2', kOtherHash));
    EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition);
    const auto details = DetailsOf(refused.status());
    ASSERT_TRUE(details.has_value());
    EXPECT_EQ(details->reason, "SCHEMA_MISMATCH");
    std::string actual, expected;
    for (int i = 0; i < 32; ++i) actual += "68", expected += "6f";
    EXPECT_EQ(details->metadata.at("actual_schema_hash"), actual);
    EXPECT_EQ(details->metadata.at("expected_schema_hash"), expected);
    EXPECT_EQ(details->metadata.at("actual_schema_version"), "3");
  }
}

TEST_F(ChannelRegistryTest, DiscoverAndConsumeRefuseAnotherSchemaThanExpected) {
  MakeReady(kAlice, "a");
  EXPECT_EQ(ReasonOf(Discover("a", kHash)), "");
  EXPECT_EQ(ReasonOf(Discover("a", kOtherHash)), "SCHEMA_MISMATCH");
  ConsumerSpec spec = {.channel_name = "a", .expected_schema_hash = kOtherHash};
  EXPECT_EQ(ReasonOf(registry_.ConsumerRegister(kBob, spec, now_)), "SCHEMA_MISMATCH");
  spec.expected_schema_hash = kHash;
  EXPECT_EQ(ReasonOf(registry_.ConsumerRegister(kBob, spec, now_)), "");
}

TEST_F(ChannelRegistryTest, ADeregisteredChannelIsNotFoundAndItsNameIsFree) {
  MakeReady(kAlice, "a");
  EXPECT_TRUE(Deregister(kAlice, "a").ok());
  EXPECT_EQ(ReasonOf(Discover("a")), "CHANNEL_NOT_FOUND");
  EXPECT_EQ(ReasonOf(Deregister(kAlice, "a")), "NOT_REGISTERED");
  EXPECT_EQ(ReasonOf(Register(kBob, SpecOf("a", 'b', kOtherHash))), "");
}

TEST_F(ChannelRegistryTest, OnlyTheHolderCanDeregister) {
  MakeReady(kAlice, "a");
  MakeReady(kBob, "b");
  const Caller thief = {"bob", kAlice.session_id};
  for (const Caller& caller : {kBob, kCarol, kAliceAgain, thief}) {
    EXPECT_EQ(ReasonOf(Deregister(caller, "a")), "NOT_REGISTERED") << caller.identity;
  }
  EXPECT_EQ(ReasonOf(Discover("a")), "");
}

TEST_F(ChannelRegistryTest, DeregisteringAnotherEpochThanTheHeldOneIsStale) {
  const ChannelView first = MakeReady(kAlice, "a", '1');
  const ChannelView second = MakeReady(kAlice, "a", '2');
  EXPECT_EQ(ReasonOf(Deregister(kAlice, "a", first.epoch)), "STALE_EPOCH");
  EXPECT_EQ(ReasonOf(Deregister(kAlice, "a", second.epoch)), "");
}

TEST_F(ChannelRegistryTest, ASessionIdBelongsToTheIdentityThatUsedItFirst) {
  MakeReady(kAlice, "a");
  const Caller thief = {"bob", kAlice.session_id};
  EXPECT_EQ(ReasonOf(Register(thief, SpecOf("b"))), "SESSION_NOT_YOURS");
  EXPECT_EQ(ReasonOf(Consume(thief, "a")), "SESSION_NOT_YOURS");
  const auto heartbeat = registry_.Heartbeat(thief.identity, {{.session_id = thief.session_id}}, now_);
  EXPECT_EQ(ReasonOf(heartbeat), "SESSION_NOT_YOURS");
}

TEST_F(ChannelRegistryTest, ForceTakesAChannelFromTheSameIdentityOnly) {
  const ChannelView first = MakeReady(kAlice, "a", '1');
  EXPECT_EQ(ReasonOf(Register(kBob, SpecOf("a", '2'), /*force=*/true)), "FORCE_DENIED");
  EXPECT_EQ(ReasonOf(Register(kAliceAgain, SpecOf("a", '2'))), "CHANNEL_HELD");
  const auto taken = Register(kAliceAgain, SpecOf("a", '2', kOtherHash), /*force=*/true);
  ASSERT_TRUE(taken.ok()) << taken.status();
  EXPECT_GT(taken->epoch, first.epoch);

  // The former holder is fenced in everything it does.
  EXPECT_EQ(ReasonOf(Deregister(kAlice, "a", first.epoch)), "NOT_REGISTERED");
  const SessionStatus status = Heartbeat(kAlice, {.channels = {{"a", first.epoch}}});
  ASSERT_EQ(status.lost_channels.size(), 1u);
  EXPECT_EQ(status.lost_channels[0].reason, LossReason::kFenced);
  EXPECT_EQ(ReasonOf(Discover("a")), "CHANNEL_NOT_READY");
}

TEST_F(ChannelRegistryTest, ConsumersAreCountedFromNoneToOneToNone) {
  MakeReady(kAlice, "a");
  EXPECT_EQ(Discover("a")->consumer_count, 0u);
  EXPECT_EQ(Consume(kBob, "a")->consumer_count, 1u);
  EXPECT_EQ(Discover("a")->consumer_count, 1u);
  EXPECT_TRUE(StopConsuming(kBob, "a").ok());
  EXPECT_EQ(Discover("a")->consumer_count, 0u);
}

TEST_F(ChannelRegistryTest, RegisteringAConsumerAgainCountsItOnce) {
  MakeReady(kAlice, "a");
  Consume(kBob, "a", "x").value();
  EXPECT_EQ(Consume(kBob, "a", "x")->consumer_count, 1u);
  EXPECT_EQ(Consume(kBob, "a", "y")->consumer_count, 2u);
  EXPECT_EQ(Consume(kCarol, "a", "x")->consumer_count, 3u);
}

TEST_F(ChannelRegistryTest, AConsumerOfAnUnknownChannelIsRefused) {
  EXPECT_EQ(ReasonOf(Consume(kBob, "a")), "CHANNEL_NOT_FOUND");
  EXPECT_EQ(ReasonOf(StopConsuming(kBob, "a")), "NOT_REGISTERED");
}

TEST_F(ChannelRegistryTest, OnlyItsOwnSessionCanDeregisterAConsumer) {
  MakeReady(kAlice, "a");
  Consume(kBob, "a", "x").value();
  const Caller thief = {"carol", kBob.session_id};
  EXPECT_EQ(ReasonOf(StopConsuming(kCarol, "a", "x")), "NOT_REGISTERED");
  EXPECT_EQ(ReasonOf(StopConsuming(thief, "a", "x")), "NOT_REGISTERED");
  EXPECT_EQ(ReasonOf(StopConsuming(kBob, "a", "y")), "NOT_REGISTERED");
  EXPECT_EQ(Discover("a")->consumer_count, 1u);
  EXPECT_EQ(ReasonOf(StopConsuming(kBob, "a", "x")), "");
  EXPECT_EQ(ReasonOf(StopConsuming(kBob, "a", "x")), "NOT_REGISTERED");
}

TEST_F(ChannelRegistryTest, ConsumersStayWhenTheProducerComesBackWithANewSegment) {
  MakeReady(kAlice, "a", '1');
  Consume(kBob, "a").value();
  EXPECT_TRUE(Deregister(kAlice, "a").ok());
  EXPECT_EQ(ReasonOf(Discover("a")), "CHANNEL_NOT_FOUND");
  EXPECT_EQ(MakeReady(kCarol, "a", '2').consumer_count, 1u);
  EXPECT_EQ(ReasonOf(StopConsuming(kBob, "a")), "");
}

TEST_F(ChannelRegistryTest, EveryChangeIsAnEventWithARevisionOfItsOwn) {
  MakeReady(kAlice, "a", '1');
  Consume(kBob, "a").value();
  ASSERT_TRUE(Register(kAlice, SpecOf("a", '2')).ok());
  ASSERT_TRUE(Deregister(kAlice, "a").ok());
  ASSERT_TRUE(Register(kAlice, SpecOf("a", '3', kOtherHash)).ok());
  ASSERT_TRUE(StopConsuming(kBob, "a").ok());
  ASSERT_TRUE(Deregister(kAlice, "a").ok());

  using K = EventKind;
  const std::vector<Event> events = registry_.TakeEvents();
  std::vector<K> kinds;
  for (size_t i = 0; i < events.size(); ++i) {
    EXPECT_EQ(events[i].revision, i + 1);
    EXPECT_EQ(events[i].channel.revision, i + 1);
    kinds.push_back(events[i].kind);
  }
  EXPECT_THAT(kinds,
              ElementsAre(K::kChannelPending, K::kChannelReady, K::kConsumerJoined, K::kChannelClosing,
                          K::kChannelPending, K::kChannelClosing, K::kSchemaChanged, K::kChannelPending,
                          K::kConsumerLeft, K::kChannelClosing, K::kChannelRemoved));
  EXPECT_EQ(events[2].consumer->identity, "bob");
  EXPECT_EQ(events[3].channel.close_reason, CloseReason::kReplaced);
  EXPECT_EQ(events[5].channel.close_reason, CloseReason::kDeregistered);
  EXPECT_EQ(registry_.revision(), events.size());
}

TEST_F(ChannelRegistryTest, ReadsAndRefusalsAreNoEvents) {
  MakeReady(kAlice, "a");
  registry_.TakeEvents();
  const uint64_t revision = registry_.revision();
  Discover("a").value();
  registry_.List({}, now_);
  Heartbeat(kAlice);
  EXPECT_FALSE(Register(kBob, SpecOf("a")).ok());
  EXPECT_FALSE(Deregister(kBob, "a").ok());
  EXPECT_THAT(registry_.TakeEvents(), IsEmpty());
  EXPECT_EQ(registry_.revision(), revision);
}

TEST_F(ChannelRegistryTest, PagesListEveryChannelOnceInTheOrderOfNames) {
  for (const char* name : {"c", "a", "d", "b", "e"}) ASSERT_TRUE(Register(kAlice, SpecOf(name)).ok());
  std::vector<std::string> names;
  ListQuery query = {.page_size = 2};
  for (bool has_more = true; has_more;) {
    const ChannelPage page = registry_.List(query, now_);
    ASSERT_LE(page.channels.size(), 2u);
    for (const ChannelView& channel : page.channels) names.push_back(channel.spec->name);
    has_more = page.has_more;
    query.after_name = names.back();
    // One that goes between two pages does not move the others.
    if (names.back() == "b") {
      ASSERT_TRUE(Deregister(kAlice, "a").ok());
    }
  }
  EXPECT_THAT(names, ElementsAre("a", "b", "c", "d", "e"));
}

TEST_F(ChannelRegistryTest, ListingFiltersByPrefixAndState) {
  for (const char* name : {"lab.a", "lab.b", "lab", "labor", "z"}) {
    ASSERT_TRUE(Register(kAlice, SpecOf(name)).ok());
  }
  Heartbeat(kAlice, {.channels = {{"lab.b", 0}}});
  const auto names = [&](const ListQuery& query) {
    std::vector<std::string> names;
    for (const ChannelView& channel : registry_.List(query, now_).channels)
      names.push_back(channel.spec->name);
    return names;
  };
  EXPECT_THAT(names({.name_prefix = "lab."}), ElementsAre("lab.a", "lab.b"));
  EXPECT_THAT(names({.name_prefix = "lab"}), ElementsAre("lab", "lab.a", "lab.b", "labor"));
  EXPECT_THAT(names({.states = {ChannelState::kReady}}), ElementsAre("lab.b"));
  EXPECT_THAT(names({.name_prefix = "lab.", .after_name = "lab.a"}), ElementsAre("lab.b"));
  EXPECT_THAT(names({.name_prefix = "nothing"}), IsEmpty());
}

}  // namespace
}  // namespace pylabhub::broker
