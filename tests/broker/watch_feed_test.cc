#include "broker/watch_feed.h"

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <thread>

#include "absl/strings/str_cat.h"
#include "tests/broker/registry_fixture.h"

namespace pylabhub::broker {
namespace {

constexpr uint64_t kEvents = 3'000;
constexpr int kWatchersPerServer = 5;

std::vector<Event> EventOf(uint64_t revision) {
  ChannelView channel;
  channel.spec = std::make_shared<const ChannelSpec>(SpecOf(absl::StrCat("c", revision)));
  std::vector<Event> events;
  events.push_back({.kind = EventKind::kChannelReady, .revision = revision, .channel = std::move(channel)});
  return events;
}

// A thread that serves watchers as a stream's thread does, and writes down what they were told.
class Server {
 public:
  Server(WatchFeed& feed, size_t number) : feed_(feed), number_(number) {}

  void Wake() {
    const std::lock_guard<std::mutex> lock(mutex_);
    woken_ = true;
    changed_.notify_all();
  }

  // Until each of its watchers has been told the last event.
  void Run(absl::Time now) {
    for (int i = 0; i < kWatchersPerServer; ++i) {
      const WatcherId id = feed_.Add("identity", number_, {}, 0, kEvents, now).value();
      told_[id] = 0;
      TakeAll(id, now);
    }
    while (!AllTold()) {
      {
        std::unique_lock<std::mutex> lock(mutex_);
        if (!changed_.wait_for(lock, std::chrono::seconds(20), [&] { return woken_; })) return;
        woken_ = false;
      }
      for (const WatcherId id : feed_.Collect(number_, now)) TakeAll(id, now);
    }
    for (const auto& [id, revision] : told_) feed_.Remove(id);
  }

  bool AllTold() const {
    for (const auto& [id, revision] : told_) {
      if (revision < kEvents) return false;
    }
    return true;
  }
  bool in_order() const { return in_order_; }

 private:
  void TakeAll(WatcherId id, absl::Time now) {
    while (true) {
      const auto items = feed_.Take(id, 7, 1 << 20, now);
      if (!items.ok() || items->empty()) return;
      for (const WatchItem& item : *items) {
        if (item.event != nullptr && item.revision != told_[id] + 1) in_order_ = false;
        told_[id] = item.revision;
      }
    }
  }

  WatchFeed& feed_;
  const size_t number_;
  std::map<WatcherId, uint64_t> told_;
  bool in_order_ = true;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool woken_ = false;
};

TEST(WatchFeedTest, EveryWatcherOfEveryServerIsToldEveryEventInOrderWhileEventsArePublished) {
  const absl::Time now = absl::FromUnixSeconds(1'000'000);
  WatchFeed feed({.coalesce_above_events = kEvents}, Limits());
  std::vector<std::unique_ptr<Server>> servers;
  std::vector<std::function<void()>> wake;
  for (size_t number = 0; number < 2; ++number) {
    servers.push_back(std::make_unique<Server>(feed, number));
    wake.emplace_back([&server = *servers.back()] { server.Wake(); });
  }
  feed.SetServers(std::move(wake));
  std::vector<std::thread> threads;
  for (const auto& server : servers) threads.emplace_back([&server = *server, now] { server.Run(now); });
  for (uint64_t revision = 1; revision <= kEvents; ++revision) feed.Publish(EventOf(revision));
  for (std::thread& thread : threads) thread.join();
  feed.ForgetServers();
  feed.Publish(EventOf(kEvents + 1));
  for (const auto& server : servers) {
    EXPECT_TRUE(server->AllTold());
    EXPECT_TRUE(server->in_order());
  }
  EXPECT_EQ(feed.watcher_count(), 0u);
}

TEST(WatchFeedTest, NobodyIsWokenWhileNobodyWatchesAndTheFirstWatcherIsToldWhatHappenedMeanwhile) {
  const absl::Time now = absl::FromUnixSeconds(1'000'000);
  WatchFeed feed({}, Limits());
  int woken = 0;
  feed.SetServers({[&] { ++woken; }, [&] { ++woken; }});
  feed.Publish(EventOf(1));
  feed.Publish(EventOf(2));
  EXPECT_EQ(woken, 0);
  const WatcherId id = feed.Add("identity", 1, {}, 1, 2, now).value();
  const auto items = feed.Take(id, 10, 1 << 20, now);
  ASSERT_TRUE(items.ok());
  ASSERT_EQ(items->size(), 1u);
  EXPECT_EQ(items->front().revision, 2u);
}

TEST(WatchFeedTest, ManyChangesWakeAServerOnceUntilItLooks) {
  const absl::Time now = absl::FromUnixSeconds(1'000'000);
  WatchFeed feed({}, Limits());
  std::vector<int> woken(2);
  feed.SetServers({[&] { ++woken[0]; }, [&] { ++woken[1]; }});
  const WatcherId id = feed.Add("identity", 1, {}, 0, 0, now).value();
  // Its bookmark, and then nothing: from now on it waits.
  while (!feed.Take(id, 10, 1 << 20, now)->empty()) {
  }
  feed.Publish(EventOf(1));
  feed.Publish(EventOf(2));
  EXPECT_EQ(woken, (std::vector<int>{1, 0}));
  EXPECT_TRUE(feed.Collect(0, now).empty());
  EXPECT_EQ(woken, (std::vector<int>{1, 1}));
  EXPECT_EQ(feed.Collect(1, now), std::vector<WatcherId>{id});
  feed.Publish(EventOf(3));
  EXPECT_EQ(woken, (std::vector<int>{2, 1}));
  feed.Remove(id);
  feed.Collect(0, now);
  feed.Publish(EventOf(4));
  EXPECT_EQ(woken, (std::vector<int>{2, 1}));
}

TEST(WatchFeedTest, ALimitIsNamedAndFreeAgainWhenAWatcherHasLeft) {
  const absl::Time now = absl::FromUnixSeconds(1'000'000);
  Limits limits;
  limits.max_watchers = 3;
  limits.max_watchers_per_identity = 2;
  WatchFeed feed({}, limits);
  const auto add = [&](const std::string& identity) { return feed.Add(identity, 0, {}, 0, 0, now); };
  const auto first = add("alice");
  ASSERT_TRUE(first.ok());
  ASSERT_TRUE(add("alice").ok());
  const auto third = add("alice");
  EXPECT_EQ(ReasonOf(third), "LIMIT_EXCEEDED");
  EXPECT_EQ(DetailsOf(third.status())->metadata.at("limit"), "watchers_per_identity");
  ASSERT_TRUE(add("bob").ok());
  EXPECT_EQ(DetailsOf(add("carol").status())->metadata.at("limit"), "watchers");
  feed.Remove(*first);
  EXPECT_TRUE(add("alice").ok());
}

}  // namespace
}  // namespace pylabhub::broker
