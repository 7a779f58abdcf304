#include "broker/directory_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/broker/registry_fixture.h"
#include "tests/broker/store/fake_store.h"

namespace pylabhub::broker {
namespace {

TEST(DirectoryMetricsTest, SessionsAndTheStoreAreCounted) {
  Directory directory({.lease_ttl = absl::Hours(1)}, nullptr);
  Metrics metrics;
  ReadDirectory(directory, metrics);
  const auto channel = directory.RunDurably([](ChannelRegistry& registry, absl::Time now) {
    return registry.Register(kAlice, SpecOf("a"), /*force=*/false, now);
  });
  ASSERT_TRUE(channel.ok()) << channel.status();
  const std::string text = metrics.Text();
  EXPECT_THAT(text, testing::HasSubstr("\npylabhub_broker_sessions 1\n"));
  EXPECT_THAT(text, testing::HasSubstr("\npylabhub_broker_sessions_held_total 0\n"));
  EXPECT_THAT(text, testing::HasSubstr("\npylabhub_broker_store_read_only 0\n"));
}

TEST(DirectoryMetricsTest, CommitsThatSucceedAreTimed) {
  Metrics metrics;
  auto fake = std::make_unique<FakeStore>();
  FakeStore& store = *fake;
  const std::unique_ptr<Store> timed = TimeCommits(std::move(fake), metrics);
  constexpr char kCount[] = "\npylabhub_broker_store_commit_duration_seconds_count ";
  EXPECT_THAT(metrics.Text(), testing::HasSubstr(absl::StrCat(kCount, "0\n")));
  store.Fail("full");
  EXPECT_FALSE(timed->Commit({{"key", "value"}}).ok());
  store.Recover();
  EXPECT_TRUE(timed->Commit({{"key", "value"}}).ok());
  EXPECT_THAT(metrics.Text(), testing::HasSubstr(absl::StrCat(kCount, "1\n")));
  EXPECT_EQ(timed->Load()->rows.size(), 1u);
  EXPECT_EQ(TimeCommits(nullptr, metrics), nullptr);
}

TEST(DirectoryMetricsTest, WatchersAreCountedAndThoseThatWereCutOff) {
  const absl::Time now = absl::FromUnixSeconds(1'000'000);
  WatchFeed feed({.max_queue_events = 2, .coalesce_above_events = 100}, Limits());
  feed.SetServers({[] {}});
  Metrics metrics;
  ReadFeed(feed, metrics);
  const WatcherId slow = feed.Add("slow", 0, {}, 0, 0, now).value();
  ASSERT_TRUE(feed.Add("other", 0, {.name_patterns = {"nothing"}}, 0, 0, now).ok());
  for (uint64_t revision = 1; revision <= 3; ++revision) {
    ChannelView channel;
    channel.spec = std::make_shared<const ChannelSpec>(SpecOf("a"));
    std::vector<Event> events;
    events.push_back({.kind = EventKind::kChannelReady, .revision = revision, .channel = channel});
    feed.Publish(std::move(events));
  }
  feed.Collect(0, now);
  EXPECT_THAT(metrics.Text(), testing::HasSubstr("\npylabhub_broker_watchers 2\n"));
  EXPECT_THAT(metrics.Text(), testing::HasSubstr("\npylabhub_broker_watchers_cut_off_total 1\n"));
  feed.Remove(slow);
  EXPECT_THAT(metrics.Text(), testing::HasSubstr("\npylabhub_broker_watchers 1\n"));
}

}  // namespace
}  // namespace pylabhub::broker
