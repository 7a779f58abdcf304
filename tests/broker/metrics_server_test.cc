#include "broker/metrics_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/broker/http_get.h"

namespace pylabhub::broker {
namespace {

using ::testing::HasSubstr;

TEST(MetricsServerTest, WhatIsCountedAndWhatIsReadIsAnsweredOverHttp) {
  Metrics metrics;
  metrics.AddCounter("pylabhub_broker_things_total", "Things.").Increment(5);
  metrics.ReadGauge("pylabhub_broker_level", "Level.", {}, [] { return 2.5; });
  const auto server = MetricsServer::Start("127.0.0.1:0", /*allow_remote=*/false, metrics);
  ASSERT_TRUE(server.ok()) << server.status();
  const std::string answer = testing::HttpGet((*server)->address(), "/metrics");
  EXPECT_THAT(answer, HasSubstr("HTTP/1.1 200 OK"));
  EXPECT_THAT(answer, HasSubstr("\npylabhub_broker_things_total 5\n"));
  EXPECT_THAT(answer, HasSubstr("\npylabhub_broker_level 2.5\n"));
}

TEST(MetricsServerTest, AnAddressThatOthersReachMustBeAllowed) {
  const Metrics metrics;
  const auto refused = MetricsServer::Start("0.0.0.0:0", /*allow_remote=*/false, metrics);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("can be reached from other hosts"));
  EXPECT_TRUE(MetricsServer::Start("0.0.0.0:0", /*allow_remote=*/true, metrics).ok());
}

TEST(MetricsServerTest, WhatIsNoAddressOrIsTakenIsSaid) {
  const Metrics metrics;
  for (const char* address :
       {"9464", "localhost:9464", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:65536", "[::1]"}) {
    const auto server = MetricsServer::Start(address, /*allow_remote=*/false, metrics);
    EXPECT_EQ(server.status().code(), absl::StatusCode::kInvalidArgument) << address;
    EXPECT_THAT(std::string(server.status().message()), HasSubstr(address));
  }
  const auto first = MetricsServer::Start("127.0.0.1:0", /*allow_remote=*/false, metrics);
  ASSERT_TRUE(first.ok()) << first.status();
  const auto second = MetricsServer::Start((*first)->address(), /*allow_remote=*/false, metrics);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace pylabhub::broker
