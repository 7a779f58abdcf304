#include "broker/watch_hub.h"

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/broker/registry_fixture.h"
#include "tests/support/seed.h"

namespace pylabhub::broker {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

const absl::Time kStart = absl::FromUnixSeconds(1'000'000);

// A hub, events of a directory that is nothing but a number, and watchers.
class WatchHubTest : public ::testing::Test {
 protected:
  explicit WatchHubTest(const WatchHubOptions& options = Small()) : hub_(options) {}

  static WatchHubOptions Small() {
    return {.revision = 100,
            .history_id = "history",
            .max_history_events = 50,
            .max_queue_events = 20,
            .coalesce_above_events = 5,
            .bookmark_soon = absl::Seconds(5),
            .bookmark_interval = absl::Seconds(60)};
  }

  static Event EventOf(EventKind kind, const std::string& name, uint64_t revision) {
    ChannelView channel;
    channel.spec = std::make_shared<const ChannelSpec>(SpecOf(name));
    channel.revision = revision;
    return {.kind = kind, .revision = revision, .channel = std::move(channel)};
  }
  std::vector<WatcherId> Publish(EventKind kind, const std::string& name) {
    std::vector<Event> events;
    events.push_back(EventOf(kind, name, ++revision_));
    return hub_.Publish(std::move(events));
  }
  WatcherId Add(const WatchFilter& filter = {}) { return AddAfter(revision_, filter).value(); }
  absl::StatusOr<WatcherId> AddAfter(uint64_t after_revision, const WatchFilter& filter = {}) {
    return hub_.Add(filter, after_revision, revision_, now_);
  }
  // Everything that waits, as "kind of channel @revision" in short.
  std::vector<std::string> Take(WatcherId id, size_t max_events = 1000) {
    std::vector<std::string> lines;
    const auto items = hub_.Take(id, max_events, 1 << 20, now_);
    if (!items.ok()) return {ReasonOf(items.status())};
    for (const WatchItem& item : *items) {
      if (item.event == nullptr) {
        lines.push_back(absl::StrCat("bookmark @", item.revision));
        continue;
      }
      const Event& event = item.event->event;
      lines.push_back(absl::StrCat(static_cast<int>(event.kind), " ", event.channel.spec->name, " @",
                                   event.revision, item.coalesced ? " coalesced" : ""));
    }
    return lines;
  }

  absl::Time now_ = kStart;
  uint64_t revision_ = 100;
  WatchHub hub_;
};

TEST_F(WatchHubTest, AWatcherIsToldFirstWhereItStandsAndThenEveryEventOnce) {
  const WatcherId id = Add();
  EXPECT_THAT(Take(id), ElementsAre("bookmark @100"));
  EXPECT_THAT(Take(id), IsEmpty());
  EXPECT_THAT(Publish(EventKind::kChannelPending, "a"), ElementsAre(id));
  // It is told once that there is something.
  EXPECT_THAT(Publish(EventKind::kChannelReady, "a"), IsEmpty());
  EXPECT_THAT(Take(id), ElementsAre("0 a @101", "1 a @102"));
  EXPECT_THAT(Take(id), IsEmpty());
}

TEST_F(WatchHubTest, WhatMatchesNoPatternOrKindIsNotTold) {
  const WatcherId exact = Add({.name_patterns = {"a", "b"}});
  const WatcherId stars = Add({.name_patterns = {"b*", "zz"}});
  const WatcherId kinds = Add({.kinds = {{EventKind::kChannelReady}}});
  const WatcherId nothing = Add({.kinds = std::vector<EventKind>{}});
  for (const WatcherId id : {exact, stars, kinds, nothing}) Take(id), Take(id);
  EXPECT_THAT(Publish(EventKind::kChannelPending, "a"), ElementsAre(exact));
  EXPECT_THAT(Publish(EventKind::kChannelReady, "bb"), ElementsAre(stars, kinds));
  EXPECT_THAT(Publish(EventKind::kChannelPending, "b"), IsEmpty());
  EXPECT_THAT(Take(exact), ElementsAre("0 a @101", "0 b @103"));
  EXPECT_THAT(Take(stars), ElementsAre("1 bb @102", "0 b @103"));
  EXPECT_THAT(Take(kinds), ElementsAre("1 bb @102"));
  EXPECT_THAT(Take(nothing), IsEmpty());
}

TEST_F(WatchHubTest, FromEveryRevisionThatIsKeptExactlyWhatIsMissingIsTold) {
  for (int i = 0; i < 130; ++i) {
    Publish(i % 10 == 0 ? EventKind::kChannelClosing : EventKind::kChannelReady, absl::StrCat("c", i));
  }
  // 230 stands, 50 are kept.
  for (uint64_t after = 100; after < 180; ++after) {
    EXPECT_EQ(ReasonOf(AddAfter(after)), "REVISION_COMPACTED") << after;
  }
  for (uint64_t after = 180; after < revision_; ++after) {
    const WatcherId id = AddAfter(after).value();
    const auto lines = Take(id);
    ASSERT_EQ(lines.size(), revision_ - after);
    EXPECT_THAT(lines.front(), ::testing::EndsWith(absl::StrCat("@", after + 1)));
    hub_.Remove(id);
  }
  EXPECT_THAT(Take(AddAfter(revision_).value()), ElementsAre("bookmark @230"));
  const auto beyond = AddAfter(revision_ + 1);
  EXPECT_EQ(ReasonOf(beyond), "REVISION_COMPACTED");
  const auto facts = DetailsOf(beyond.status())->metadata;
  EXPECT_EQ(facts.at("oldest_revision"), "180");
  EXPECT_EQ(facts.at("revision"), "230");
  EXPECT_EQ(facts.at("history_id"), "history");
}

TEST_F(WatchHubTest, WhatHappenedBeforeAWatcherCameIsNotToldThoughItIsPublishedAfter) {
  // The directory is at 102; its events have not come yet.
  const WatcherId id = hub_.Add({}, 102, 102, now_).value();
  Publish(EventKind::kChannelPending, "a");
  Publish(EventKind::kChannelReady, "a");
  EXPECT_THAT(Take(id), ElementsAre("bookmark @102"));
  Publish(EventKind::kChannelClosing, "a");
  EXPECT_THAT(Take(id), ElementsAre("2 a @103"));
}

TEST_F(WatchHubTest, EventsOfAChannelAreMergedForAWatcherThatIsBehindButNeverAClosing) {
  const WatcherId id = Add();
  for (int i = 0; i < 3; ++i) {
    Publish(EventKind::kChannelPending, "a");
    Publish(EventKind::kChannelReady, "a");
    Publish(EventKind::kConsumerJoined, "a");
    Publish(EventKind::kChannelClosing, "a");
    Publish(EventKind::kConsumerLeft, "a");
    Publish(EventKind::kChannelRemoved, "a");
  }
  Publish(EventKind::kChannelReady, "a");
  // The first five came when it kept up.
  EXPECT_THAT(Take(id), ElementsAre("0 a @101", "1 a @102", "4 a @103", "2 a @104", "3 a @106 coalesced",
                                    "2 a @110 coalesced", "3 a @112 coalesced", "2 a @116 coalesced",
                                    "3 a @118 coalesced", "1 a @119"));
}

TEST_F(WatchHubTest, AWatcherThatIsTooSlowIsCutOffAndTheOthersGoOn) {
  const WatcherId slow = Add();
  const WatcherId fast = Add();
  Take(slow), Take(slow), Take(fast), Take(fast);
  std::vector<WatcherId> ready;
  size_t seen = 0;
  for (int i = 0; i < 40; ++i) {
    for (const WatcherId id : Publish(EventKind::kChannelReady, absl::StrCat("c", i))) ready.push_back(id);
    seen += Take(fast).size();
  }
  EXPECT_EQ(seen, 40u);
  // Once for its first event, once when it was cut off.
  EXPECT_EQ(std::count(ready.begin(), ready.end(), slow), 2);
  const auto taken = hub_.Take(slow, 10, 1000, now_);
  EXPECT_EQ(ReasonOf(taken), "WATCHER_TOO_SLOW");
  EXPECT_EQ(DetailsOf(taken.status())->metadata.at("lag_events"), "21");
  // It comes back, and has missed nothing.
  hub_.Remove(slow);
  const WatcherId again = AddAfter(100).value();
  EXPECT_EQ(Take(again).size(), 40u);
}

TEST_F(WatchHubTest, AWatcherOfFewChannelsIsNotCutOffHoweverSlowItIs) {
  const WatcherId id = Add({.name_patterns = {"a"}});
  for (int i = 0; i < 1000; ++i) {
    Publish(EventKind::kConsumerJoined, "a");
    Publish(EventKind::kChannelReady, absl::StrCat("c", i));
  }
  const auto lines = Take(id);
  EXPECT_EQ(lines.back(), "4 a @2099 coalesced");
  EXPECT_LE(lines.size(), 6u);
}

TEST_F(WatchHubTest, WhatAWatcherComesBackToDoesNotCountAgainstIt) {
  for (int i = 0; i < 45; ++i) Publish(EventKind::kChannelReady, absl::StrCat("c", i));
  const WatcherId id = AddAfter(100).value();
  Publish(EventKind::kChannelReady, "new");
  EXPECT_EQ(Take(id, 40).size(), 40u);
  EXPECT_EQ(Take(id, 40).size(), 6u);
}

TEST_F(WatchHubTest, ABookmarkComesSoonAfterOthersEventsAndAtLeastEveryMinute) {
  const WatcherId id = Add({.name_patterns = {"a"}});
  EXPECT_THAT(Take(id), ElementsAre("bookmark @100"));
  Take(id);
  EXPECT_THAT(hub_.Tick(kStart + absl::Seconds(59)), IsEmpty());
  EXPECT_THAT(hub_.Tick(now_ = kStart + absl::Seconds(60)), ElementsAre(id));
  EXPECT_THAT(Take(id), ElementsAre("bookmark @100"));
  Take(id);
  Publish(EventKind::kChannelReady, "b");
  EXPECT_THAT(hub_.Tick(now_ + absl::Seconds(4)), IsEmpty());
  EXPECT_THAT(hub_.Tick(now_ += absl::Seconds(5)), ElementsAre(id));
  // An event that comes before it is taken says as much.
  Publish(EventKind::kChannelReady, "a");
  EXPECT_THAT(Take(id), ElementsAre("1 a @102"));
  EXPECT_THAT(Take(id), IsEmpty());
}

TEST_F(WatchHubTest, AMessageIsNoLargerThanAskedForUnlessOneEventIs) {
  const WatcherId id = Add();
  for (int i = 0; i < 4; ++i) Publish(EventKind::kChannelReady, "a");
  EXPECT_EQ(hub_.Take(id, 2, 1 << 20, now_)->size(), 2u);
  EXPECT_EQ(hub_.Take(id, 10, 1, now_)->size(), 1u);
}

class LargeSchemasTest : public WatchHubTest {
 protected:
  static WatchHubOptions FewBytes() {
    WatchHubOptions options = Small();
    options.max_history_bytes = 10'000;
    options.max_queue_bytes = 5'000;
    return options;
  }
  LargeSchemasTest() : WatchHubTest(FewBytes()) {}

  void PublishLarge(int number) {
    Event event = EventOf(EventKind::kChannelReady, absl::StrCat("c", number), ++revision_);
    ChannelSpec spec = *event.channel.spec;
    spec.schema = std::string(1500, 's');
    event.channel.spec = std::make_shared<const ChannelSpec>(spec);
    std::vector<Event> events;
    events.push_back(std::move(event));
    hub_.Publish(std::move(events));
  }
};

TEST_F(LargeSchemasTest, HistoryAndQueuesAreBoundedInBytesToo) {
  const WatcherId with = Add({.include_schema = true});
  const WatcherId without = Add();
  for (int i = 0; i < 10; ++i) PublishLarge(i);
  EXPECT_EQ(ReasonOf(AddAfter(100)), "REVISION_COMPACTED");
  EXPECT_TRUE(AddAfter(106).ok());
  EXPECT_THAT(Take(with), ElementsAre("WATCHER_TOO_SLOW"));
  EXPECT_EQ(Take(without).size(), 10u);
}

// Watchers of random patience over a real registry, against the obvious: a list of all events, and the registry's
// own view.
class WatchModelTest : public RegistryFixture {
 protected:
  struct Reader {
    WatchFilter filter;
    double pace;
    WatcherId id = 0;
    uint64_t revision = 0;
    std::map<std::string, uint64_t> view = {};  // channels as told: their revisions
    std::vector<uint64_t> closings = {};        // as told since `since`
    uint64_t since = 0;
  };

  WatchModelTest() : random_(testing::Seed()) {
    options_.max_history_events = 300;
    options_.max_queue_events = 60;
    options_.coalesce_above_events = 10;
  }

  size_t Random(size_t below) { return random_() % below; }
  std::string RandomName() { return absl::StrCat(Random(2) == 0 ? "sensor." : "motor.", Random(15)); }

  // Lets something happen in the registry.
  void Act() {
    const Caller& caller = Random(2) == 0 ? kAlice : kBob;
    const std::string name = RandomName();
    now_ += absl::Milliseconds(Random(100));
    switch (Random(8)) {
      case 0:
      case 1:
      case 2:
        (void)Register(caller, SpecOf(name, static_cast<char>('a' + Random(3))));
        break;
      case 3:
      case 4:
        Heartbeat(caller);
        break;
      case 5:
        (void)Deregister(caller, name);
        break;
      case 6:
        (void)Consume(kCarol, name, absl::StrCat(Random(3)));
        break;
      default:
        (void)StopConsuming(kCarol, name, absl::StrCat(Random(3)));
    }
    if (Random(500) == 0) now_ += kTtl;
    registry_.Expire(now_);
    for (Event& event : registry_.TakeEvents()) {
      all_.push_back(event);
      unpublished_.push_back(std::move(event));
    }
  }

  std::map<std::string, uint64_t> TruthOf(const WatchFilter& filter) {
    std::map<std::string, uint64_t> truth;
    for (const ChannelView& channel : registry_.List({.page_size = 1000}, now_).channels) {
      if (MatchesName(filter, channel.spec->name)) truth[channel.spec->name] = channel.revision;
    }
    return truth;
  }

  void List(Reader& reader, WatchHub& hub) {
    reader.view = TruthOf(reader.filter);
    reader.revision = reader.since = registry_.revision();
    reader.closings.clear();
    reader.id = hub.Add(reader.filter, reader.revision, registry_.revision(), now_).value();
    ++lists_;
  }

  // Reads a message, or comes back where it was.
  bool Read(Reader& reader, WatchHub& hub) {
    const auto items = hub.Take(reader.id, 1 + Random(20), 1 << 20, now_);
    if (!items.ok()) {
      hub.Remove(reader.id);
      const auto id = hub.Add(reader.filter, reader.revision, registry_.revision(), now_);
      if (!id.ok()) {
        List(reader, hub);
      } else {
        reader.id = *id;
        ++resumptions_;
      }
      return true;
    }
    for (const WatchItem& item : *items) {
      EXPECT_GE(item.revision, reader.revision);
      reader.revision = item.revision;
      if (item.event == nullptr) continue;
      const Event& event = item.event->event;
      coalesced_ += item.coalesced ? 1 : 0;
      if (event.kind == EventKind::kChannelRemoved) {
        reader.view.erase(event.channel.spec->name);
      } else {
        reader.view[event.channel.spec->name] = event.channel.revision;
      }
      if (event.kind == EventKind::kChannelClosing) reader.closings.push_back(event.revision);
    }
    return !items->empty();
  }

  std::vector<uint64_t> ClosingsFor(const Reader& reader) const {
    std::vector<uint64_t> closings;
    for (const Event& event : all_) {
      if (event.kind == EventKind::kChannelClosing && event.revision > reader.since &&
          MatchesName(reader.filter, event.channel.spec->name)) {
        closings.push_back(event.revision);
      }
    }
    return closings;
  }

  std::mt19937_64 random_;
  WatchHubOptions options_;
  std::vector<Event> all_;
  std::vector<Event> unpublished_;
  int coalesced_ = 0;
  int resumptions_ = 0;
  int lists_ = 0;
};

TEST_F(WatchModelTest, WhoeverCatchesUpSeesWhatTheDirectoryIsAndHasSeenEveryClosing) {
  WatchHub hub(options_);
  std::vector<Reader> readers = {{.filter = {}, .pace = 1},
                                 {.filter = {}, .pace = 0.05},
                                 {.filter = {}, .pace = 0.01},
                                 {.filter = {}, .pace = 0.001},
                                 {.filter = {.name_patterns = {"sensor.*"}}, .pace = 0.2},
                                 {.filter = {.name_patterns = {"*.1?", "motor.3"}}, .pace = 0.01},
                                 {.filter = {.name_patterns = {"motor.1", "sensor.2"}}, .pace = 0.003}};
  for (Reader& reader : readers) List(reader, hub);
  for (int step = 0; step < 20'000; ++step) {
    Act();
    if (Random(4) == 0) hub.Publish(std::exchange(unpublished_, {}));
    if (Random(50) == 0) hub.Tick(now_);
    for (Reader& reader : readers) {
      if (static_cast<double>(Random(1'000'000)) < reader.pace * 1e6) Read(reader, hub);
    }
    if (step % 2'000 != 1'999) continue;
    hub.Publish(std::exchange(unpublished_, {}));
    for (Reader& reader : readers) {
      while (Read(reader, hub)) {
      }
      EXPECT_EQ(reader.view, TruthOf(reader.filter)) << "at step " << step;
      EXPECT_EQ(reader.closings, ClosingsFor(reader)) << "at step " << step;
    }
  }
  // It did happen.
  EXPECT_GT(coalesced_, 100);
  EXPECT_GT(resumptions_, 10);
  EXPECT_GT(lists_, 10);
}

}  // namespace
}  // namespace pylabhub::broker
