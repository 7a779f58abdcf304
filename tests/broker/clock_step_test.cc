// A pylabhub-broker process on a host whose clock is set.

#include <signal.h>

#include <chrono>
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "proto/tls/certificate_set.h"
#include "tests/broker/watch_client.h"
#include "tests/broker/wire_fixture.h"
#include "tests/support/program.h"
#include "tests/support/settable_clock.h"
#include "tests/support/temp_folder.h"

namespace pylabhub::broker {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::steady_clock;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::Program;
using ::testing::StartsWith;

constexpr char kListening[] = "listening on ";
constexpr milliseconds kLease(800);

class ClockStepTest : public ::testing::Test {
 protected:
  ClockStepTest() {
    setenv("LD_PRELOAD", testing::kSteppedClock, 1);
    broker_.emplace(std::vector<std::string>{"broker/pylabhub-broker", "--port=0",
                                             "--state-dir=" + folder_.path(), "--lease-ttl=800ms"});
    unsetenv("LD_PRELOAD");
    const std::string line = broker_->ReadLine();
    EXPECT_THAT(line, StartsWith(kListening)) << broker_->errors();
    const auto files = tls::LoadTlsFiles(tls::ClientPathsIn(folder_ / "certs"));
    EXPECT_TRUE(files.ok()) << files.status();
    channel_ = testing::ConnectWith(line.substr(sizeof(kListening) - 1), *files);
    stub_ = v1::Broker::NewStub(channel_);
  }
  ~ClockStepTest() override {
    broker_->Signal(SIGTERM);
    const auto told = steady_clock::now();
    EXPECT_EQ(broker_->Wait(), 0);
    EXPECT_LT(steady_clock::now() - told, std::chrono::seconds(20));
  }

  // Registers a channel, says nothing more, and hears of its end from a stream that stood before: no call helps.
  void ExpectThatALeaseLastsAsLongAsEver() {
    v1::WatchRequest everything;
    everything.set_snapshot(true);
    WatchClient watch(*stub_, everything);
    ASSERT_EQ(watch.NextLine(), "SNAPSHOT_COMPLETE");
    WireClient silent(channel_, "session-of-silent");
    ASSERT_EQ(ReasonOf(silent.Register("silent").status), "OK");
    const auto last_word = steady_clock::now();
    ASSERT_EQ(ReasonOf(silent.Heartbeat()), "OK");
    EXPECT_EQ(watch.NextLines(2), (std::vector<std::string>{"PENDING silent", "READY silent"}));
    EXPECT_EQ(watch.NextLine(), "CLOSING silent");
    EXPECT_GE(steady_clock::now() - last_word, kLease - milliseconds(50));
    EXPECT_THAT(broker_->errors(), Not(HasSubstr("lease_given_back")));
  }

  const testing::TempFolder folder_;
  testing::SettableClock clock_{folder_ / "clock_step"};
  std::optional<Program> broker_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::Broker::Stub> stub_;
};

TEST_F(ClockStepTest, ALeaseLastsNoLongerOnAClockThatIsSetBack) {
  clock_.Set(-hours(1));
  ExpectThatALeaseLastsAsLongAsEver();
}

TEST_F(ClockStepTest, ALeaseLastsNoShorterOnAClockThatIsSetForward) {
  clock_.Set(hours(1));
  ExpectThatALeaseLastsAsLongAsEver();
}

TEST_F(ClockStepTest, WhoRenewsItsLeaseKeepsItHoweverTheClockIsSet) {
  WireClient producer(channel_, "session-of-producer");
  ASSERT_EQ(ReasonOf(producer.Register("a").status), "OK");
  for (const nanoseconds step : {nanoseconds(hours(2)), nanoseconds(-hours(3)), nanoseconds(0)}) {
    clock_.Set(step);
    v1::HeartbeatResponse renewed;
    ASSERT_EQ(ReasonOf(producer.Heartbeat(&renewed)), "OK");
    EXPECT_TRUE(renewed.sessions(0).known());
    EXPECT_EQ(ReasonOf(producer.Discover("a")), "OK");
  }
}

TEST_F(ClockStepTest, TheLogTellsTheTimeThatWasSetAndCertificatesAreJudgedByIt) {
  const absl::Duration step = absl::Hours(24 * 365 * 20);
  clock_.Set(absl::ToChronoNanoseconds(step));
  EXPECT_FALSE(WireClient(channel_, "session-of-somebody").Register("a").status.ok());
  EXPECT_THAT(broker_->errors(), HasSubstr("certificate verify failed"));
  EXPECT_THAT(broker_->errors(),
              HasSubstr(absl::FormatTime("time=%Y-", absl::Now() + step, absl::UTCTimeZone())));
}

}  // namespace
}  // namespace pylabhub::broker
