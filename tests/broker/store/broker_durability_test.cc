// A pylabhub-broker process that is killed, stopped, and robbed of its disk, with clients that look what it still knows.

#include <signal.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <fstream>
#include <map>
#include <mutex>
#include <optional>
#include <random>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "proto/tls/certificate_set.h"
#include "tests/broker/wire_fixture.h"
#include "tests/support/program.h"
#include "tests/support/seed.h"
#include "tests/support/temp_folder.h"

namespace pylabhub::broker {
namespace {

using ::testing::HasSubstr;
using testing::Program;
using testing::TempFolder;

constexpr char kBroker[] = "broker/pylabhub-broker";
constexpr char kListening[] = "listening on ";
constexpr char kLongLease[] = "1h";

class DurabilityTest : public ::testing::Test {
 protected:
  void Start(const std::string& lease_ttl = kLongLease) {
    broker_.emplace(std::vector<std::string>{kBroker, "--port=0", "--state-dir=" + state_.path(),
                                             "--lease-ttl=" + lease_ttl});
    const std::string line = broker_->ReadLine();
    ASSERT_THAT(line, ::testing::StartsWith(kListening)) << broker_->errors();
    target_ = line.substr(sizeof(kListening) - 1);
  }
  void Kill() {
    broker_->Signal(SIGKILL);
    EXPECT_EQ(broker_->Wait(), -SIGKILL);
  }
  void End() {
    broker_->Signal(SIGTERM);
    EXPECT_EQ(broker_->Wait(), 0);
  }

  WireClient Client(const std::string& session) const {
    const auto files = tls::LoadTlsFiles(tls::ClientPathsIn(state_ / "certs"));
    EXPECT_TRUE(files.ok()) << files.status();
    return WireClient(testing::ConnectWith(target_, *files), session);
  }

  // Every channel that the broker knows.
  std::map<std::string, v1::Channel> Channels() const {
    WireClient client = Client("session-of-observer");
    std::map<std::string, v1::Channel> channels;
    v1::ListChannelsRequest request;
    request.set_page_size(1000);
    do {
      v1::ListChannelsResponse response;
      const grpc::Status status = client.Call(&v1::Broker::Stub::ListChannels, request, response);
      EXPECT_TRUE(status.ok()) << status.error_message();
      for (const v1::Channel& channel : response.channels()) channels[channel.spec().name()] = channel;
      request.set_page_token(response.next_page_token());
    } while (!request.page_token().empty());
    return channels;
  }

  v1::GetBrokerInfoResponse Info() const {
    v1::GetBrokerInfoResponse info;
    EXPECT_TRUE(Client("session-of-observer")
                    .Call(&v1::Broker::Stub::GetBrokerInfo, v1::GetBrokerInfoRequest(), info)
                    .ok());
    return info;
  }

  int RunTool(std::vector<std::string> arguments, std::string* errors = nullptr) const {
    arguments.insert(arguments.begin(), kBroker);
    arguments.push_back("--state-dir=" + state_.path());
    Program tool(arguments);
    while (!tool.ReadLine().empty()) {
    }
    const int code = tool.Wait();
    if (errors != nullptr) *errors = tool.errors();
    return code;
  }

  const TempFolder state_;
  std::optional<Program> broker_;
  std::string target_;
};

// What brokers have answered, over all their lives.
struct Acknowledged {
  std::mutex mutex;
  std::map<std::string, uint64_t> epochs;  // by channel
  std::map<std::string, bool> ready;
  std::atomic<int> count = 0;
};

// Registers one channel after the other until the broker is gone.
void RegisterUntilItDies(WireClient client, const std::string& prefix, Acknowledged& acknowledged) {
  for (int i = 0;; ++i) {
    const std::string name = absl::StrCat(prefix, ".", i);
    const auto result = client.Register(name);
    if (result.status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED) continue;
    if (!result.status.ok()) return;
    const bool ready = i % 3 == 0 && client.Heartbeat().ok();
    const std::lock_guard lock(acknowledged.mutex);
    acknowledged.epochs[name] = result.response.channel().epoch();
    acknowledged.ready[name] = ready;
    ++acknowledged.count;
  }
}

TEST_F(DurabilityTest, ABrokerThatIsKilledAtAnyMomentForgetsNothingThatItAcknowledged) {
  const char* kills = std::getenv("PYLABHUB_BROKER_KILLS");
  const int kill_count = kills == nullptr ? 20 : std::atoi(kills);
  std::mt19937_64 random(testing::Seed());
  Acknowledged acknowledged;
  uint64_t highest_epoch = 0;
  uint64_t highest_revision = 0;
  std::string history_id;
  int forgotten = 0;
  int epochs_back = 0;
  for (int round = 0; round < kill_count; ++round) {
    Start();
    const v1::GetBrokerInfoResponse info = Info();
    if (round > 0) {
      EXPECT_GT(info.revision(), highest_revision);
      EXPECT_EQ(info.history_id(), history_id);
    }
    history_id = info.history_id();
    const std::map<std::string, v1::Channel> channels = Channels();
    for (const auto& [name, epoch] : acknowledged.epochs) {
      const auto found = channels.find(name);
      if (found == channels.end() || found->second.epoch() != epoch) {
        ++forgotten;
        ADD_FAILURE() << name << " was acknowledged with epoch " << epoch << ", and is forgotten";
      } else if (acknowledged.ready[name] && found->second.state() != v1::CHANNEL_STATE_READY) {
        ++forgotten;
        ADD_FAILURE() << name << " was ready";
      }
    }
    const uint64_t first_epoch =
        Client("session-of-round").Register(absl::StrCat("round.", round)).response.channel().epoch();
    epochs_back += first_epoch > highest_epoch ? 0 : 1;

    const int goal = acknowledged.count + 5 + static_cast<int>(random() % 40);
    std::vector<std::thread> clients;
    for (int i = 0; i < 4; ++i) {
      clients.emplace_back([&, i] {
        RegisterUntilItDies(Client(absl::StrCat("session-of-", i)), absl::StrCat("load.", round, ".", i),
                            acknowledged);
      });
    }
    while (acknowledged.count < goal) std::this_thread::yield();
    highest_revision = Info().revision();
    Kill();
    for (std::thread& client : clients) client.join();
    highest_epoch = first_epoch;
    for (const auto& [name, epoch] : acknowledged.epochs) highest_epoch = std::max(highest_epoch, epoch);
  }
  EXPECT_EQ(epochs_back, 0);
  // For tests/chaos/run.sh, which looks for this line.
  std::cout << "{\"kills\":" << kill_count << ",\"acknowledged\":" << acknowledged.count
            << ",\"forgotten\":" << forgotten << ",\"epochs_back\":" << epochs_back
            << ",\"seed\":" << testing::Seed() << "}" << std::endl;
}

TEST_F(DurabilityTest, AClientThatNeverHeardTheAnswerRegistersAgainAndGetsWhatItHad) {
  Start();
  const uint64_t epoch = Client("session-of-a").Register("a").response.channel().epoch();
  Kill();
  Start();
  const auto again = Client("session-of-a").Register("a");
  ASSERT_EQ(ReasonOf(again.status), "OK");
  EXPECT_EQ(again.response.channel().epoch(), epoch);
  EXPECT_GT(Client("session-of-a").Register("a", kWireHash, 't').response.channel().epoch(), epoch);
}

TEST_F(DurabilityTest, LeasesSurviveARestartAndNobodyHasToRegisterAgain) {
  Start("3s");
  WireClient producer = Client("session-of-producer");
  ASSERT_EQ(ReasonOf(producer.Register("a").status), "OK");
  ASSERT_EQ(ReasonOf(producer.Heartbeat()), "OK");
  ASSERT_EQ(ReasonOf(Client("session-of-consumer").Consume("a")), "OK");
  Kill();
  Start("3s");
  v1::HeartbeatResponse renewed;
  EXPECT_EQ(ReasonOf(Client("session-of-producer").Heartbeat(&renewed)), "OK");
  EXPECT_TRUE(renewed.sessions(0).known());
  v1::Channel channel;
  EXPECT_EQ(ReasonOf(Client("session-of-consumer").Discover("a", &channel)), "OK");
  EXPECT_EQ(channel.consumer_count(), 1u);
}

TEST_F(DurabilityTest, ABrokerStoppedForLongerThanTheLeaseExpiresNobody) {
  Start("400ms");
  WireClient producer = Client("session-of-producer");
  ASSERT_EQ(ReasonOf(producer.Register("a").status), "OK");
  ASSERT_EQ(ReasonOf(producer.Heartbeat()), "OK");
  broker_->Signal(SIGSTOP);
  // The passing of time itself is what is tested.
  std::this_thread::sleep_for(std::chrono::milliseconds(1200));
  broker_->Signal(SIGCONT);
  EXPECT_EQ(ReasonOf(producer.Heartbeat()), "OK");
  EXPECT_EQ(ReasonOf(producer.Discover("a")), "OK") << broker_->errors();
  EXPECT_THAT(broker_->errors(), HasSubstr("lease_given_back"));
}

// A limit on the size of its files stands for a disk that is full.
void SetFileLimit(pid_t pid, bool full) {
  rlimit limit = {};
  ASSERT_EQ(prlimit(pid, RLIMIT_FSIZE, nullptr, &limit), 0);
  limit.rlim_cur = full ? 0 : limit.rlim_max;
  ASSERT_EQ(prlimit(pid, RLIMIT_FSIZE, &limit, nullptr), 0);
}

TEST_F(DurabilityTest, OnAFullDiskWhatIsKnownIsServedAndRegisteringGoesOnWhenThereIsSpace) {
  Start("2s");
  WireClient producer = Client("session-of-producer");
  ASSERT_EQ(ReasonOf(producer.Register("a").status), "OK");
  ASSERT_EQ(ReasonOf(producer.Heartbeat()), "OK");
  SetFileLimit(broker_->pid(), true);
  const grpc::Status refused = producer.Register("b").status;
  EXPECT_EQ(ReasonOf(refused), "STORE_READ_ONLY");
  EXPECT_GT(DetailIn<google::rpc::RetryInfo>(refused).retry_delay().nanos() +
                DetailIn<google::rpc::RetryInfo>(refused).retry_delay().seconds(),
            0);
  EXPECT_EQ(ReasonOf(producer.Discover("a")), "OK");
  // Leases are renewed without the store: for longer than one lasts.
  for (int i = 0; i < 12; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(250));
    EXPECT_EQ(ReasonOf(producer.Heartbeat()), "OK");
  }
  EXPECT_EQ(ReasonOf(producer.Discover("a")), "OK");
  EXPECT_EQ(ReasonOf(producer.Register("c").status), "STORE_READ_ONLY");
  SetFileLimit(broker_->pid(), false);
  grpc::Status status;
  do {
    status = producer.Register("c").status;
  } while (ReasonOf(status) == "STORE_READ_ONLY");
  EXPECT_EQ(ReasonOf(status), "OK");
  Kill();
  Start();
  const auto channels = Channels();
  EXPECT_TRUE(channels.contains("a") && channels.contains("c"));
}

TEST_F(DurabilityTest, ASecondBrokerOnOneStoreEndsWithAClearError) {
  Start();
  Program second({kBroker, "--port=0", "--state-dir=" + state_.path()});
  EXPECT_EQ(second.Wait(), 1);
  EXPECT_THAT(second.errors(), HasSubstr(absl::StrCat("in use by another broker (process ", broker_->pid())));
}

TEST_F(DurabilityTest, ABackupOfARunningBrokerIsRestoredWithEpochsThatGoOn) {
  Start();
  WireClient producer = Client("session-of-producer");
  ASSERT_EQ(ReasonOf(producer.Register("a").status), "OK");
  EXPECT_EQ(RunTool({"backup", state_ / "copy"}), 0);
  const uint64_t last_epoch = producer.Register("after").response.channel().epoch();
  const std::string history_id = Info().history_id();
  std::string errors;
  EXPECT_EQ(RunTool({"restore", state_ / "copy"}, &errors), 1);
  EXPECT_THAT(errors, HasSubstr("in use by another broker"));
  EXPECT_EQ(RunTool({"store", "check"}), 0);
  End();
  EXPECT_EQ(RunTool({"restore", state_ / "copy"}, &errors), 0) << errors;
  EXPECT_EQ(RunTool({"store", "check"}, &errors), 0) << errors;
  Start();
  const auto channels = Channels();
  EXPECT_TRUE(channels.contains("a"));
  EXPECT_FALSE(channels.contains("after"));
  EXPECT_GT(Client("session-of-producer").Register("b").response.channel().epoch(), last_epoch);
  EXPECT_NE(Info().history_id(), history_id);
}

TEST_F(DurabilityTest, WhatIsSoundInADamagedStoreIsServedAndABackupMendsIt) {
  Start();
  WireClient producer = Client("session-of-producer");
  for (int i = 0; i < 30; ++i)
    ASSERT_EQ(ReasonOf(producer.Register(absl::StrCat("channel.", i)).status), "OK");
  ASSERT_EQ(RunTool({"backup", state_ / "copy"}), 0);
  End();
  // Its own restored copy is a database with no log, in which the row is once.
  ASSERT_EQ(RunTool({"restore", state_ / "copy"}), 0);
  std::stringstream text;
  text << std::ifstream(state_ / "broker.db", std::ios::binary).rdbuf();
  std::string bytes = text.str();
  ASSERT_GT(absl::StrReplaceAll({{"channel.17", "channel.xx"}}, &bytes), 0);
  std::ofstream(state_ / "broker.db", std::ios::binary) << bytes;

  EXPECT_EQ(RunTool({"store", "check"}), 1);
  Start();
  EXPECT_THAT(broker_->errors(), HasSubstr("store_damaged"));
  EXPECT_THAT(broker_->errors(), HasSubstr("pylabhub-broker restore --state-dir"));
  EXPECT_EQ(Channels().size(), 29u);
  EXPECT_EQ(ReasonOf(Client("session-of-producer").Heartbeat()), "OK");
  EXPECT_EQ(ReasonOf(Client("session-of-producer").Register("new").status), "STORE_READ_ONLY");
  End();
  std::string errors;
  EXPECT_EQ(RunTool({"restore", state_ / "copy"}, &errors), 0) << errors;
  Start();
  EXPECT_EQ(Channels().size(), 30u);
  EXPECT_EQ(ReasonOf(Client("session-of-producer").Register("new").status), "OK");
}

}  // namespace
}  // namespace pylabhub::broker
