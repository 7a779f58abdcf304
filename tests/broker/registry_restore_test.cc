// A registry that is put back together from the changes that it told is the registry that it was.

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/broker/registry_fixture.h"
#include "tests/support/seed.h"

namespace pylabhub::broker {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// What a store holds after the changes: the last of each key.
class Kept {
 public:
  void Apply(const std::vector<Change>& changes) {
    for (const Change& change : changes) {
      if (std::holds_alternative<RemovedRecord>(change.record)) {
        EXPECT_EQ(records_.erase(change.key), 1u) << change.key << " was removed, but was never there";
      } else {
        records_.insert_or_assign(change.key, change);
      }
    }
  }

  RegistryState state() const {
    RegistryState state;
    for (const auto& [key, change] : records_) {
      if (const auto* session = std::get_if<SessionRecord>(&change.record))
        state.sessions.push_back(*session);
      if (const auto* channel = std::get_if<ChannelRecord>(&change.record))
        state.channels.push_back(*channel);
      if (const auto* consumer = std::get_if<ConsumerRecord>(&change.record)) {
        state.consumers.push_back(*consumer);
      }
    }
    return state;
  }

  std::vector<std::string> keys() const {
    std::vector<std::string> keys;
    for (const auto& [key, change] : records_) keys.push_back(key);
    return keys;
  }

 private:
  std::map<std::string, Change> records_;
};

class RestoreTest : public RegistryFixture {
 protected:
  // As a broker that starts now finds it.
  ChannelRegistry Restored(const RegistryOptions& options = {.lease_ttl = kTtl, .closing_ttl = kClosingTtl}) {
    kept_.Apply(registry_.TakeChanges());
    ChannelRegistry restored(options);
    restored.Restore(kept_.state(), now_);
    return restored;
  }

  Kept kept_;
};

TEST_F(RestoreTest, WhatIsRegisteredIsKeptUntilItIsGivenUp) {
  MakeReady(kAlice, "a");
  Consume(kBob, "a", "1").value();
  kept_.Apply(registry_.TakeChanges());
  EXPECT_THAT(kept_.keys(), ElementsAre("channel/a", "consumer/a/session-bob/1", "session/session-alice",
                                        "session/session-bob"));
  StopConsuming(kBob, "a", "1").IgnoreError();
  Deregister(kAlice, "a").IgnoreError();
  kept_.Apply(registry_.TakeChanges());
  EXPECT_THAT(kept_.keys(), ElementsAre("session/session-alice", "session/session-bob"));
  now_ += kTtl;
  registry_.Expire(now_);
  kept_.Apply(registry_.TakeChanges());
  EXPECT_THAT(kept_.keys(), IsEmpty());
}

TEST_F(RestoreTest, AHeartbeatIsNoChangeUnlessItMakesAChannelReady) {
  ASSERT_TRUE(Register(kAlice, SpecOf("a")).ok());
  registry_.TakeChanges();
  Heartbeat(kAlice);
  EXPECT_EQ(registry_.TakeChanges().size(), 1u);
  Heartbeat(kAlice);
  EXPECT_EQ(registry_.TakeChanges().size(), 0u);
}

TEST_F(RestoreTest, EverySessionHasAFullLeaseAndReadyStaysReady) {
  const ChannelView before = MakeReady(kAlice, "a");
  now_ += kTtl - kTick;
  ChannelRegistry restored = Restored();
  now_ += kTtl - kTick;
  const auto found = restored.Discover("a", "", now_);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->epoch, before.epoch);
  EXPECT_EQ(found->register_time, before.register_time);
  EXPECT_EQ(found->producer_identity, "alice");
  now_ += kTick;
  EXPECT_EQ(ReasonOf(restored.Discover("a", "", now_)), "CHANNEL_NOT_FOUND");
}

TEST_F(RestoreTest, TheSameSessionRegistersAgainWithNothingButItsEpochBack) {
  const auto before = Register(kAlice, SpecOf("a"));
  ChannelRegistry restored = Restored({.lease_ttl = kTtl, .closing_ttl = kClosingTtl, .first_epoch = 1000});
  const auto again = restored.Register(kAlice, SpecOf("a"), false, now_);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->epoch, before->epoch);
  EXPECT_THAT(restored.TakeChanges(), IsEmpty());
  EXPECT_EQ(ReasonOf(restored.Register(kBob, SpecOf("a", 'b'), false, now_)), "CHANNEL_HELD");
  EXPECT_EQ(restored.Register(kAlice, SpecOf("a", 't'), false, now_)->epoch, 1000u);
}

TEST_F(RestoreTest, AClosingChannelIsKeptForItsConsumersForAnotherClosingTime) {
  MakeReady(kAlice, "a");
  Consume(kBob, "a").value();
  Deregister(kAlice, "a").IgnoreError();
  now_ += kTtl - kTick;
  ChannelRegistry restored = Restored({.lease_ttl = kClosingTtl * 2, .closing_ttl = kClosingTtl});
  const auto list = [&] { return restored.List({}, now_).channels; };
  now_ += kClosingTtl - kTick;
  ASSERT_EQ(list().size(), 1u);
  EXPECT_EQ(list()[0].close_reason, CloseReason::kDeregistered);
  now_ += kTick;
  EXPECT_THAT(list(), IsEmpty());
}

TEST_F(RestoreTest, RevisionsGoOnAboveThoseBefore) {
  MakeReady(kAlice, "a");
  ChannelRegistry restored =
      Restored({.lease_ttl = kTtl, .closing_ttl = kClosingTtl, .first_epoch = 50, .first_revision = 500});
  EXPECT_EQ(restored.revision(), 499u);
  EXPECT_EQ(restored.Discover("a", "", now_)->revision, 499u);
  EXPECT_THAT(restored.TakeEvents(), IsEmpty());
  restored.Deregister(kAlice, "a", 0, now_).IgnoreError();
  EXPECT_EQ(restored.TakeEvents()[0].revision, 500u);
}

TEST_F(RestoreTest, LimitsCountWhatWasRestored) {
  MakeReady(kAlice, "a");
  RegistryOptions options = {.lease_ttl = kTtl, .closing_ttl = kClosingTtl};
  options.limits.max_channels_per_identity = 1;
  ChannelRegistry restored = Restored(options);
  EXPECT_EQ(ReasonOf(restored.Register(kAlice, SpecOf("b"), false, now_)), "LIMIT_EXCEEDED");
  restored.Deregister(kAlice, "a", 0, now_).IgnoreError();
  EXPECT_EQ(ReasonOf(restored.Register(kAlice, SpecOf("b"), false, now_)), "");
}

TEST_F(RestoreTest, ALostSessionIsMadeUpForFromWhatItHeld) {
  MakeReady(kAlice, "a");
  Consume(kBob, "a").value();
  kept_.Apply(registry_.TakeChanges());
  RegistryState damaged = kept_.state();
  damaged.sessions.clear();
  ChannelRegistry restored({.lease_ttl = kTtl, .closing_ttl = kClosingTtl});
  restored.Restore(damaged, now_);
  EXPECT_EQ(restored.session_count(), 2u);
  EXPECT_EQ(restored.Discover("a", "", now_)->consumer_count, 1u);
  EXPECT_EQ(ReasonOf(restored.ConsumerDeregister(kBob, "a", "", now_)), "");
}

TEST_F(RestoreTest, AConsumerOfALostChannelIsLeftOut) {
  MakeReady(kAlice, "a");
  Consume(kBob, "a").value();
  kept_.Apply(registry_.TakeChanges());
  RegistryState damaged = kept_.state();
  damaged.channels.clear();
  ChannelRegistry restored({.lease_ttl = kTtl, .closing_ttl = kClosingTtl});
  restored.Restore(damaged, now_);
  EXPECT_EQ(ReasonOf(restored.ConsumerDeregister(kBob, "a", "", now_)), "NOT_REGISTERED");
  now_ += kTtl;
  restored.Expire(now_);
  EXPECT_EQ(restored.session_count(), 0u);
}

// What a call answered, as text, but for revisions and lease ends.
std::string Text(const ChannelView& view) {
  return absl::StrCat(view.spec->name, " ", view.spec->segment_id, " ", static_cast<int>(view.state), " ",
                      view.epoch, " ", view.consumer_count, " ", view.producer_identity, " ",
                      absl::FormatTime(view.register_time), " ", static_cast<int>(view.close_reason), " ",
                      view.predecessor_segment_id);
}
std::string Text(const absl::Status& status) { return ReasonOf(status); }
std::string Text(const absl::StatusOr<ChannelView>& result) {
  return result.ok() ? Text(*result) : ReasonOf(result.status());
}

std::string ListText(ChannelRegistry& registry, absl::Time now) {
  std::string text;
  for (const ChannelView& view : registry.List({.page_size = 1000}, now).channels) {
    absl::StrAppend(&text, Text(view), "\n");
  }
  return text;
}

// One call at random, the same for the same numbers, and what it answered.
std::string Step(ChannelRegistry& registry, std::mt19937 random, absl::Time now) {
  const auto pick = [&](int count) { return std::uniform_int_distribution<int>(0, count - 1)(random); };
  const std::vector<Caller> callers = {kAlice, kAliceAgain, kBob, kCarol};
  const Caller& caller = callers[static_cast<size_t>(pick(4))];
  const std::string name(1, static_cast<char>('a' + pick(5)));
  const std::string consumer_id(1, static_cast<char>('x' + pick(2)));
  switch (pick(6)) {
    case 0:
      return Text(registry.Register(
          caller, SpecOf(name, static_cast<char>('0' + pick(3)), pick(4) == 0 ? kOtherHash : kHash),
          pick(3) == 0, now));
    case 1:
      return Text(registry.Deregister(caller, name, 0, now));
    case 2:
      return Text(registry.ConsumerRegister(caller, {.channel_name = name, .consumer_id = consumer_id}, now));
    case 3:
      return Text(registry.ConsumerDeregister(caller, name, consumer_id, now));
    default: {
      const auto statuses = registry.Heartbeat(caller.identity, {{.session_id = caller.session_id}}, now);
      if (!statuses.ok()) return ReasonOf(statuses.status());
      return absl::StrCat(statuses->front().known, statuses->front().channel_count, " ",
                          statuses->front().consumer_count);
    }
  }
}

// Renews every session, and makes nothing ready.
void RenewAll(ChannelRegistry& registry, absl::Time now) {
  for (const Caller& caller : {kAlice, kAliceAgain, kBob, kCarol}) {
    SessionClaims claims = {.session_id = caller.session_id};
    claims.channels.push_back({.name = "nobodys"});
    registry.Heartbeat(caller.identity, {claims}, now).status().IgnoreError();
  }
}

TEST(RestoreModelTest, ARestoredRegistryAnswersAsTheOriginalDoesWhateverComes) {
  const uint64_t seed = pylabhub::testing::Seed();
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  std::mt19937 random(static_cast<uint32_t>(seed));
  RegistryOptions options = {.lease_ttl = kTtl, .closing_ttl = absl::Hours(10'000)};
  ChannelRegistry original(options);
  Kept kept;
  absl::Time now = absl::FromUnixSeconds(1'000'000);
  int restored_closing = 0;
  for (int round = 0; round < 100; ++round) {
    for (int i = 0; i < 40; ++i) {
      now += absl::Milliseconds(std::uniform_int_distribution<int>(0, 1500)(random));
      Step(original, std::mt19937(static_cast<uint32_t>(random())), now);
    }
    RenewAll(original, now);
    original.TakeEvents();
    kept.Apply(original.TakeChanges());
    options.first_epoch = original.last_epoch() + 1;
    options.first_revision = original.revision() + 1;
    ChannelRegistry restored(options);
    restored.Restore(kept.state(), now);
    ASSERT_EQ(ListText(restored, now), ListText(original, now));
    ASSERT_EQ(restored.session_count(), original.session_count());
    restored_closing +=
        static_cast<int>(original.List({.states = {ChannelState::kClosing}}, now).channels.size());
    for (int i = 0; i < 40; ++i) {
      now += absl::Milliseconds(std::uniform_int_distribution<int>(0, 1500)(random));
      const uint32_t step = static_cast<uint32_t>(random());
      ASSERT_EQ(Step(restored, std::mt19937(step), now), Step(original, std::mt19937(step), now)) << i;
      ASSERT_EQ(ListText(restored, now), ListText(original, now)) << i;
      const std::vector<Event> events = original.TakeEvents();
      const std::vector<Event> same_events = restored.TakeEvents();
      ASSERT_EQ(same_events.size(), events.size());
      for (size_t e = 0; e < events.size(); ++e) {
        ASSERT_EQ(same_events[e].revision, events[e].revision);
        ASSERT_EQ(same_events[e].kind, events[e].kind);
      }
      const std::vector<Change> changes = original.TakeChanges();
      ASSERT_EQ(restored.TakeChanges().size(), changes.size());
      kept.Apply(changes);
    }
  }
  EXPECT_GT(restored_closing, 0) << "no closing channel was ever restored";
}

}  // namespace
}  // namespace pylabhub::broker
