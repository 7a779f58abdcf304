// Watch as a client on the wire sees it.

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "absl/strings/str_cat.h"
#include "proto/schema/canonical.h"
#include "tests/broker/watch_client.h"
#include "tests/broker/wire_fixture.h"

namespace pylabhub::broker {
namespace {

using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

v1::WatchRequest Everything() { return {}; }
v1::WatchRequest Snapshot() {
  v1::WatchRequest request;
  request.set_snapshot(true);
  return request;
}
v1::WatchRequest Of(const std::vector<std::string>& patterns) {
  v1::WatchRequest request;
  for (const std::string& pattern : patterns) request.add_name_patterns(pattern);
  return request;
}
v1::WatchRequest After(uint64_t revision, const std::string& history_id = "") {
  v1::WatchRequest request;
  request.set_after_revision(revision);
  request.set_history_id(history_id);
  return request;
}

// A broker of the test's own, with a producer and a consumer connected.
class WatchStreamTest : public ::testing::Test {
 protected:
  explicit WatchStreamTest(BrokerOptions options = {})
      : broker_(testing::StartTestBroker(authority_, std::move(options))),
        producer_(ClientOf("producer")),
        consumer_(ClientOf("consumer")) {}

  WireClient ClientOf(const std::string& identity) {
    return WireClient(testing::ConnectWith(broker_->target(), authority_.Client(identity)),
                      "session-of-" + identity);
  }
  // Watches as the consumer. Returns when the stream is there: what happens from then on is seen.
  std::unique_ptr<WatchClient> Watch(const v1::WatchRequest& request) {
    auto watcher = std::make_unique<WatchClient>(consumer_.stub(), request);
    if (!request.snapshot() && request.after_revision() == 0) {
      EXPECT_EQ(WatchClient::LineOf(watcher->Next()), "BOOKMARK");
    }
    return watcher;
  }
  void MakeReady(const std::string& name) {
    EXPECT_EQ(ReasonOf(producer_.Register(name).status), "OK");
    EXPECT_EQ(ReasonOf(producer_.Heartbeat()), "OK");
  }

  testing::TestAuthority authority_;
  std::unique_ptr<EmbeddedBroker> broker_;
  WireClient producer_;
  WireClient consumer_;
};

TEST_F(WatchStreamTest, TheWholeLifeOfAChannelIsTold) {
  const auto watcher = Watch(Everything());
  MakeReady("a");
  EXPECT_EQ(ReasonOf(consumer_.Consume("a", "c1")), "OK");
  EXPECT_EQ(ReasonOf(producer_.Deregister("a")), "OK");
  EXPECT_EQ(ReasonOf(consumer_.StopConsuming("a", "c1")), "OK");
  EXPECT_THAT(watcher->NextLines(3), ElementsAre("PENDING a", "READY a", "CONSUMER_JOINED a"));
  const auto closing = watcher->NextChange();
  ASSERT_EQ(WatchClient::LineOf(closing), "CLOSING a");
  EXPECT_EQ(closing->channel().close_reason(), v1::CLOSE_REASON_DEREGISTERED);
  EXPECT_EQ(closing->channel().producer_identity(), "producer");
  EXPECT_EQ(closing->channel().consumer_count(), 1u);
  EXPECT_FALSE(closing->channel().has_lease_expire_time());
  const auto left = watcher->NextChange();
  ASSERT_EQ(WatchClient::LineOf(left), "CONSUMER_LEFT a");
  EXPECT_EQ(left->consumer().identity(), "consumer");
  EXPECT_EQ(left->consumer().consumer_id(), "c1");
  EXPECT_EQ(watcher->NextLine(), "REMOVED a");
}

TEST_F(WatchStreamTest, ASnapshotComesFirstAndThenWhatChanges) {
  MakeReady("b");
  MakeReady("a");
  const auto watcher = Watch(Snapshot());
  EXPECT_THAT(watcher->NextLines(3), ElementsAre("SNAPSHOT a", "SNAPSHOT b", "SNAPSHOT_COMPLETE"));
  MakeReady("c");
  EXPECT_THAT(watcher->NextLines(2), ElementsAre("PENDING c", "READY c"));
}

TEST_F(WatchStreamTest, ASnapshotOfManyChannelsComesInMessagesOfBoundedSize) {
  constexpr int kChannels = 3000;
  for (int i = 0; i < kChannels; ++i) {
    v1::RegisterRequest request;
    request.set_session_id("session-of-producer");
    request.mutable_channel()->set_name("channel." + std::to_string(i));
    request.mutable_channel()->set_schema_hash(kWireHash);
    request.mutable_channel()->set_segment_id(std::string(16, 's'));
    (*request.mutable_channel()->mutable_metadata())["about"] = std::string(300, 'x');
    ASSERT_EQ(ReasonOf(producer_.Register(request).status), "OK");
  }
  const auto watcher = Watch(Snapshot());
  std::set<std::string> names;
  auto event = watcher->Next();
  for (; event.has_value() && event->kind() == v1::WATCH_EVENT_KIND_SNAPSHOT; event = watcher->Next()) {
    EXPECT_EQ(event->channel().state(), v1::CHANNEL_STATE_PENDING);
    names.insert(event->channel().spec().name());
  }
  EXPECT_EQ(WatchClient::LineOf(event), "SNAPSHOT_COMPLETE");
  EXPECT_EQ(names.size(), size_t{kChannels});
  EXPECT_GT(watcher->message_count(), 1);
  EXPECT_LE(watcher->largest_message_bytes(), size_t{1} << 20);
}

TEST_F(WatchStreamTest, ASnapshotTakenWhileEverythingChangesLeadsToTheTruth) {
  std::atomic<bool> stop = false;
  std::thread changes([&] {
    for (int i = 0; !stop; ++i) {
      const std::string name = "channel." + std::to_string(i % 300);
      if (i % 7 == 3) {
        producer_.Deregister(name);
      } else {
        MakeReady(name);
      }
    }
  });
  std::vector<std::unique_ptr<WatchClient>> watchers;
  std::vector<std::optional<v1::WatchEvent>> firsts;
  for (int i = 0; i < 10; ++i) {
    watchers.push_back(std::make_unique<WatchClient>(consumer_.stub(), Snapshot()));
    // The snapshot has begun.
    firsts.push_back(watchers.back()->Next());
    ASSERT_TRUE(firsts.back().has_value());
  }
  stop = true;
  changes.join();
  MakeReady("last");
  std::map<std::string, uint64_t> truth;
  v1::ListChannelsResponse page;
  v1::ListChannelsRequest list;
  list.set_page_size(1000);
  ASSERT_TRUE(consumer_.Call(&v1::Broker::Stub::ListChannels, list, page).ok());
  for (const v1::Channel& channel : page.channels()) truth[channel.spec().name()] = channel.revision();
  for (size_t i = 0; i < watchers.size(); ++i) {
    std::map<std::string, uint64_t> seen;
    std::optional<v1::WatchEvent> event = firsts[i];
    for (; seen["last"] < truth["last"]; event = watchers[i]->Next()) {
      ASSERT_TRUE(event.has_value());
      if (!event->has_channel()) continue;
      const std::string& name = event->channel().spec().name();
      // Nothing is told that was overtaken by what was told before.
      EXPECT_GE(event->channel().revision(), seen[name]) << name;
      seen[name] = event->channel().revision();
      if (event->kind() == v1::WATCH_EVENT_KIND_CHANNEL_REMOVED) seen.erase(name);
    }
    std::erase_if(seen, [](const auto& channel) { return channel.second == 0; });
    EXPECT_EQ(seen, truth);
  }
}

TEST_F(WatchStreamTest, AStreamGoesOnFromTheLastRevisionOfTheOneBefore) {
  auto watcher = Watch(Everything());
  MakeReady("a");
  ASSERT_EQ(watcher->NextLine(), "PENDING a");
  const auto last = watcher->NextChange();
  ASSERT_EQ(WatchClient::LineOf(last), "READY a");
  const std::string history_id = watcher->history_id();
  EXPECT_FALSE(history_id.empty());
  watcher.reset();
  EXPECT_EQ(ReasonOf(producer_.Deregister("a")), "OK");
  const auto again = Watch(After(last->revision(), history_id));
  EXPECT_THAT(again->NextLines(2), ElementsAre("CLOSING a", "REMOVED a"));
}

TEST_F(WatchStreamTest, ARevisionThatNeverWasOrOfAnotherHistoryIsRefusedWithWhatIsKept) {
  MakeReady("a");
  for (const v1::WatchRequest& request : {After(1000), After(1, "another-history")}) {
    WatchClient watcher(consumer_.stub(), request);
    const grpc::Status status = watcher.End();
    EXPECT_EQ(ReasonOf(status), "REVISION_COMPACTED");
    EXPECT_EQ(status.error_code(), grpc::StatusCode::OUT_OF_RANGE);
    const auto facts = DetailIn<google::rpc::ErrorInfo>(status).metadata();
    EXPECT_EQ(facts.at("oldest_revision"), "0");
    EXPECT_EQ(facts.at("revision"), "2");
    EXPECT_EQ(facts.at("history_id").size(), 32u);
  }
}

TEST_F(WatchStreamTest, OnlyChannelsThatMatchAPatternAreTold) {
  MakeReady("sensor.a");
  MakeReady("motor.a");
  v1::WatchRequest request = Of({"sensor.*", "motor.?", "one"});
  request.set_snapshot(true);
  const auto watcher = Watch(request);
  EXPECT_THAT(watcher->NextLines(3),
              ElementsAre("SNAPSHOT motor.a", "SNAPSHOT sensor.a", "SNAPSHOT_COMPLETE"));
  MakeReady("motor.bb");
  MakeReady("on");
  MakeReady("one");
  EXPECT_THAT(watcher->NextLines(2), ElementsAre("PENDING one", "READY one"));
}

TEST_F(WatchStreamTest, WhoNamesChannelsGetsTheirSnapshotToo) {
  MakeReady("sensor");
  MakeReady("sensor.a");
  MakeReady("z");
  v1::WatchRequest request = Of({"z", "sensor", "absent"});
  request.set_snapshot(true);
  const auto watcher = Watch(request);
  EXPECT_THAT(watcher->NextLines(2), UnorderedElementsAre("SNAPSHOT sensor", "SNAPSHOT z"));
  EXPECT_EQ(watcher->NextLine(), "SNAPSHOT_COMPLETE");
  MakeReady("absent");
  EXPECT_EQ(watcher->NextLine(), "PENDING absent");
}

TEST_F(WatchStreamTest, OnlyTheKindsAskedForAreTold) {
  v1::WatchRequest request;
  request.add_kinds(v1::WATCH_EVENT_KIND_CHANNEL_READY);
  request.add_kinds(v1::WATCH_EVENT_KIND_CHANNEL_REMOVED);
  const auto watcher = Watch(request);
  v1::WatchRequest none;
  none.add_kinds(v1::WATCH_EVENT_KIND_SNAPSHOT);
  const auto bookmarks_only = Watch(none);
  MakeReady("a");
  EXPECT_EQ(ReasonOf(producer_.Deregister("a")), "OK");
  EXPECT_THAT(watcher->NextLines(2), ElementsAre("READY a", "REMOVED a"));
  // Others' events went by, so it is told soon how far it is.
  const auto bookmark = bookmarks_only->Next();
  EXPECT_EQ(WatchClient::LineOf(bookmark), "BOOKMARK");
  EXPECT_EQ(bookmark->revision(), 4u);
}

TEST_F(WatchStreamTest, SchemasComeOnlyToThoseWhoAsk) {
  v1::WatchRequest with_schema;
  with_schema.set_include_schema(true);
  const auto reads = Watch(with_schema);
  const auto skips = Watch(Everything());
  v1::RegisterRequest request;
  request.set_session_id("session-of-producer");
  request.mutable_channel()->set_name("a");
  request.mutable_channel()->set_segment_id(std::string(16, 's'));
  request.mutable_channel()->mutable_schema()->set_name("Reading");
  request.mutable_channel()->set_schema_hash(schema::HashOf(request.channel().schema()));
  ASSERT_EQ(ReasonOf(producer_.Register(request).status), "OK");
  EXPECT_EQ(reads->NextChange()->channel().spec().schema().name(), "Reading");
  EXPECT_FALSE(skips->NextChange()->channel().spec().has_schema());
}

TEST_F(WatchStreamTest, AWrongRequestIsRefusedFieldByField) {
  v1::WatchRequest request = Of({"Sensor", std::string(129, 'a'), "fine.*"});
  request.set_snapshot(true);
  request.set_after_revision(3);
  request.add_kinds(v1::WATCH_EVENT_KIND_UNSPECIFIED);
  const grpc::Status status = WatchClient(consumer_.stub(), request).End();
  EXPECT_EQ(ReasonOf(status), "INVALID_REQUEST");
  std::vector<std::string> fields;
  const auto bad_request = DetailIn<google::rpc::BadRequest>(status);
  for (const auto& violation : bad_request.field_violations()) {
    fields.push_back(violation.field());
  }
  EXPECT_THAT(fields, ElementsAre("name_patterns[0]", "name_patterns[1]", "after_revision", "kinds"));
  EXPECT_EQ(ReasonOf(WatchClient(consumer_.stub(), Of(std::vector<std::string>(101, "a"))).End()),
            "INVALID_REQUEST");
}

TEST_F(WatchStreamTest, TwoStreamsOfOneClientKnowNothingOfEachOther) {
  auto first = Watch(Everything());
  const auto second = Watch(Of({"b"}));
  MakeReady("a");
  EXPECT_EQ(first->NextLine(), "PENDING a");
  first.reset();
  MakeReady("b");
  EXPECT_EQ(second->NextLine(), "PENDING b");
}

TEST_F(WatchStreamTest, TheBrokersEndIsToldAfterEverythingThatWasWaiting) {
  const auto watcher = Watch(Everything());
  for (int i = 0; i < 100; ++i) MakeReady("channel." + std::to_string(i));
  std::thread stopper([&] { broker_->Stop(); });
  size_t seen = 0;
  while (watcher->NextChange().has_value()) ++seen;
  EXPECT_EQ(seen, 200u);
  EXPECT_EQ(ReasonOf(watcher->End()), "SHUTTING_DOWN");
  stopper.join();
}

TEST_F(WatchStreamTest, AWatcherThatReadsNothingDoesNotHoldUpTheBrokersEnd) {
  std::vector<std::unique_ptr<WatchClient>> watchers;
  for (int i = 0; i < 20; ++i) watchers.push_back(Watch(Everything()));
  for (int i = 0; i < 500; ++i) MakeReady("channel." + std::to_string(i));
  const absl::Time start = absl::Now();
  broker_->Stop();
  EXPECT_LT(absl::Now() - start, absl::Seconds(10));
}

TEST_F(WatchStreamTest, AStormOfStreamsThatAreCancelledLeavesTheBrokerAsItWas) {
  std::vector<std::thread> clients;
  for (int i = 0; i < 4; ++i) {
    clients.emplace_back([&, i] {
      WireClient client = ClientOf("client." + std::to_string(i));
      for (int round = 0; round < 100; ++round) {
        WatchClient watcher(client.stub(), round % 2 == 0 ? Snapshot() : Everything());
        if (round % 3 == 0) watcher.Next();
        watcher.Cancel();
      }
    });
  }
  for (int i = 0; i < 100; ++i) MakeReady("channel." + std::to_string(i % 10));
  for (std::thread& client : clients) client.join();
  const auto watcher = Watch(Everything());
  MakeReady("after");
  EXPECT_EQ(watcher->NextLine(), "PENDING after");
}

// Few may watch.
class WatchLimitTest : public WatchStreamTest {
 protected:
  static BrokerOptions Few() {
    BrokerOptions options;
    options.registry.limits.max_watchers = 3;
    options.registry.limits.max_watchers_per_identity = 2;
    return options;
  }
  WatchLimitTest() : WatchStreamTest(Few()) {}
};

TEST_F(WatchLimitTest, MoreStreamsThanAnIdentityMayHaveAreRefusedUntilOneEnds) {
  auto first = Watch(Everything());
  const auto second = Watch(Everything());
  const grpc::Status status = WatchClient(consumer_.stub(), Everything()).End();
  EXPECT_EQ(ReasonOf(status), "LIMIT_EXCEEDED");
  EXPECT_EQ(DetailIn<google::rpc::ErrorInfo>(status).metadata().at("limit"), "watchers_per_identity");
  // Others may.
  WireClient other = ClientOf("other");
  WatchClient third(other.stub(), Everything());
  EXPECT_EQ(WatchClient::LineOf(third.Next()), "BOOKMARK");
  const grpc::Status beyond = WatchClient(other.stub(), Everything()).End();
  EXPECT_EQ(DetailIn<google::rpc::ErrorInfo>(beyond).metadata().at("limit"), "watchers");
  first.reset();
  // The broker learns by and by that a client has gone.
  std::string line;
  do {
    WatchClient next(consumer_.stub(), Everything());
    line = WatchClient::LineOf(next.Next());
  } while (line == "the end");
  EXPECT_EQ(line, "BOOKMARK");
}

// A log that a test can wait on.
class SlowWatcherTest : public WatchStreamTest {
 protected:
  struct Log {
    std::mutex mutex;
    std::condition_variable changed;
    std::vector<LogRecord> slow;
  };
  explicit SlowWatcherTest(std::shared_ptr<Log> log = std::make_shared<Log>())
      : WatchStreamTest(OptionsWith(log)), log_(std::move(log)) {}

  static BrokerOptions OptionsWith(const std::shared_ptr<Log>& log) {
    BrokerOptions options;
    options.log = [log](const LogRecord& record) {
      if (record.event != "watcher_too_slow") return;
      const std::lock_guard<std::mutex> lock(log->mutex);
      log->slow.push_back(record);
      log->changed.notify_all();
    };
    return options;
  }

  const std::shared_ptr<Log> log_;
};

TEST_F(SlowWatcherTest, AWatcherThatReadsNothingIsCutOffByNameWhileOthersGoOn) {
  const auto slow = Watch(Everything());
  WireClient other = ClientOf("other");
  WatchClient fast(other.stub(), Everything());
  ASSERT_EQ(WatchClient::LineOf(fast.Next()), "BOOKMARK");
  // Closings, since they are not merged away; with much to say about each.
  v1::RegisterRequest request;
  request.set_session_id("session-of-producer");
  request.mutable_channel()->set_name("a");
  request.mutable_channel()->set_schema_hash(kWireHash);
  for (int i = 0; i < 4; ++i) {
    (*request.mutable_channel()->mutable_metadata())[std::to_string(i)] = std::string(4000, 'x');
  }
  const auto was_cut_off = [&] {
    const std::lock_guard<std::mutex> lock(log_->mutex);
    return !log_->slow.empty();
  };
  std::atomic<bool> stop = false;
  std::atomic<uint64_t> seen = 0;
  std::thread reader([&] {
    while (!stop && fast.Next().has_value()) ++seen;
  });
  for (int i = 0; i < 20'000 && !was_cut_off(); ++i) {
    request.mutable_channel()->set_segment_id(absl::StrCat(absl::Dec(i, absl::kZeroPad16)));
    ASSERT_EQ(ReasonOf(producer_.Register(request).status), "OK");
  }
  // It hears why, since it reads now.
  EXPECT_EQ(ReasonOf(slow->End()), "WATCHER_TOO_SLOW");
  stop = true;
  MakeReady("last");
  reader.join();
  {
    std::unique_lock<std::mutex> lock(log_->mutex);
    ASSERT_TRUE(log_->changed.wait_for(lock, std::chrono::seconds(20), [&] { return !log_->slow.empty(); }));
    EXPECT_THAT(log_->slow[0].fields, ::testing::Contains(::testing::Pair("identity", "consumer")));
  }
  EXPECT_GT(seen, 100u);
}

}  // namespace
}  // namespace pylabhub::broker
