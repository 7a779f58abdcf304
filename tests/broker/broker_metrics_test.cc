// What Prometheus sees of a whole broker, and that docs/broker.md tells of all of it.

#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>

#include "tests/broker/http_get.h"
#include "tests/broker/wire_fixture.h"
#include "tests/support/temp_folder.h"

namespace pylabhub::broker {
namespace {

using ::testing::HasSubstr;

std::set<std::string> AllMatches(const std::string& text, const std::string& pattern) {
  const std::regex regex(pattern);
  std::set<std::string> found;
  for (std::sregex_iterator i(text.begin(), text.end(), regex), end; i != end; ++i) found.insert((*i)[1]);
  return found;
}

class BrokerMetricsTest : public WireTest {
 protected:
  BrokerMetricsTest()
      : counted_(testing::StartTestBroker(*authority_, {.hand_over = {.socket = folder_ / "s"},
                                                        .metrics_address = "127.0.0.1:0",
                                                        .registry = {.lease_ttl = absl::Milliseconds(400)}})),
        client_(testing::ConnectWith(counted_->target(), authority_->Client("alice")), "session-of-alice") {}

  std::string Scrape() const { return testing::HttpGet(counted_->metrics_address(), "/metrics"); }
  // Fails if `line` is not there within twenty seconds.
  void AwaitLine(const std::string& line) const {
    const absl::Time deadline = absl::Now() + absl::Seconds(20);
    while (Scrape().find("\n" + line + "\n") == std::string::npos && absl::Now() < deadline) usleep(10'000);
    EXPECT_THAT(Scrape(), HasSubstr("\n" + line + "\n"));
  }

  const testing::TempFolder folder_{"/tmp"};
  const std::unique_ptr<EmbeddedBroker> counted_;
  WireClient client_;
};

TEST_F(BrokerMetricsTest, CallsAreCountedByMethodAndCode) {
  client_.Discover("nothing");
  client_.Discover("nothing");
  EXPECT_TRUE(client_.Heartbeat().ok());
  const std::string text = Scrape();
  EXPECT_THAT(text, HasSubstr("pylabhub_broker_calls_total{code=\"NOT_FOUND\",method=\"Discover\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("pylabhub_broker_calls_total{code=\"OK\",method=\"Heartbeat\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("pylabhub_broker_call_duration_seconds_count{method=\"Discover\"} 2\n"));
}

TEST_F(BrokerMetricsTest, WhatClientsHoldIsSeenAndWhatTheyLoseIsCounted) {
  ASSERT_TRUE(client_.Register("a").status.ok());
  ASSERT_TRUE(client_.Heartbeat().ok());
  ASSERT_TRUE(client_.Consume("a").ok());
  const std::string text = Scrape();
  EXPECT_THAT(text, HasSubstr("\npylabhub_broker_channels 1\n"));
  EXPECT_THAT(text, HasSubstr("\npylabhub_broker_consumers 1\n"));
  EXPECT_THAT(text, HasSubstr("\npylabhub_broker_sessions 1\n"));
  EXPECT_THAT(text, HasSubstr("\npylabhub_broker_connections 1\n"));
  EXPECT_THAT(text, HasSubstr("\npylabhub_broker_store_read_only 0\n"));
  AwaitLine("pylabhub_broker_lapsed_leases_total 1");
  AwaitLine("pylabhub_broker_sessions 0");
}

TEST_F(BrokerMetricsTest, EveryMetricIsNamedByTheConventionsAndTold) {
  client_.Discover("nothing");
  const std::string text = Scrape();
  const std::set<std::string> counters = AllMatches(text, "# TYPE ([a-z0-9_]+) counter");
  std::set<std::string> all = AllMatches(text, "# TYPE ([a-z0-9_]+) ");
  // The library counts its own scrapes.
  std::erase_if(all, [](const std::string& name) { return name.rfind("exposer_", 0) == 0; });
  for (const std::string& name : all) {
    EXPECT_EQ(name.rfind("pylabhub_broker_", 0), 0u) << name;
    EXPECT_EQ(name.size() >= 6 && name.substr(name.size() - 6) == "_total", counters.count(name) == 1)
        << name;
  }
  std::ostringstream page;
  page << std::ifstream("docs/broker.md").rdbuf();
  EXPECT_EQ(AllMatches(page.str(), "\n\\| `(pylabhub_broker_[a-z_]+)` \\|"), all);
}

TEST_F(BrokerMetricsTest, PromtoolFindsNothingToSay) {
  if (std::system("command -v promtool >/dev/null 2>&1") != 0) {
    GTEST_SKIP() << "promtool is not installed: Debian's prometheus package, of 96 MB, has it";
  }
  client_.Discover("nothing");
  const testing::TempFolder folder;
  std::string body = Scrape();
  body = body.substr(body.find("\r\n\r\n") + 4);
  std::ofstream(folder / "metrics") << body;
  EXPECT_EQ(std::system(("promtool check metrics <" + (folder / "metrics")).c_str()), 0);
}

}  // namespace
}  // namespace pylabhub::broker
