#include "broker/directory_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/broker/registry_fixture.h"

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

}  // namespace
}  // namespace pylabhub::broker
