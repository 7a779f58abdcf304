// A pylabhub-broker process whose disk is truly full: nothing pretends.
#include <signal.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "proto/tls/certificate_set.h"
#include "tests/broker/wire_fixture.h"
#include "tests/support/program.h"
#include "tests/support/small_disk.h"

namespace pylabhub::broker {
namespace {

using ::testing::HasSubstr;
using testing::Program;
using testing::SmallDisk;

constexpr char kBroker[] = "broker/pylabhub-broker";
constexpr char kListening[] = "listening on ";
// What the broker reserves for the store's log, and a little more.
constexpr size_t kDiskBytes = size_t{12} << 20;
// Together more than the log holds.
constexpr int kManyChannels = 4'000;
constexpr size_t kMetadataBytes = 4'000;

class FullDiskTest : public ::testing::Test {
 protected:
  // Once, before the first client's threads.
  static void SetUpTestSuite() { disk_ = new absl::StatusOr(SmallDisk::Mount(kDiskBytes)); }
  static void TearDownTestSuite() { delete disk_; }

  void SetUp() override {
    if (!disk_->ok()) GTEST_SKIP() << disk_->status();
  }

  static const SmallDisk& disk() { return ***disk_; }

  void Start() {
    broker_.emplace(
        std::vector<std::string>{kBroker, "--port=0", "--state-dir=" + disk().path(), "--lease-ttl=1h"});
    const std::string line = broker_->ReadLine();
    ASSERT_THAT(line, ::testing::StartsWith(kListening)) << broker_->errors();
    target_ = line.substr(sizeof(kListening) - 1);
  }
  void Kill() {
    broker_->Signal(SIGKILL);
    EXPECT_EQ(broker_->Wait(), -SIGKILL);
  }

  WireClient Client() const {
    const auto files = tls::LoadTlsFiles(tls::ClientPathsIn(disk().path() + "/certs"));
    EXPECT_TRUE(files.ok()) << files.status();
    return WireClient(testing::ConnectWith(target_, *files), "session-of-client");
  }

  // Registers one channel more, with as much as a channel may carry. The refusal's reason, or OK.
  std::string RegisterNext(WireClient& client) {
    v1::RegisterRequest request;
    request.set_session_id("session-of-client");
    v1::ChannelSpec& channel = *request.mutable_channel();
    channel.set_name(absl::StrCat("channel.", ++last_));
    channel.set_schema_hash(kWireHash);
    channel.set_segment_id(std::string(16, 's'));
    (*channel.mutable_metadata())["much"] = std::string(kMetadataBytes, 'm');
    const auto result = client.Register(request);
    if (result.status.ok()) epochs_[channel.name()] = result.response.channel().epoch();
    refusal_ = result.status.error_message();
    return ReasonOf(result.status);
  }
  // Registers until the log has no room either.
  void ExpectReadOnlySoon(WireClient& client) {
    std::string reason = "OK";
    while (reason == "OK" && last_ < kManyChannels) reason = RegisterNext(client);
    EXPECT_EQ(reason, "STORE_READ_ONLY");
    EXPECT_THAT(refusal_, HasSubstr("full"));
    EXPECT_THAT(broker_->errors(), HasSubstr("event=store_read_only"));
  }
  // Whether the broker knows every channel that it acknowledged, as it was.
  void ExpectNothingForgotten(WireClient& client) const {
    for (const auto& [name, epoch] : epochs_) {
      v1::Channel channel;
      ASSERT_EQ(ReasonOf(client.Discover(name, &channel)), "OK") << name;
      ASSERT_EQ(channel.epoch(), epoch) << name;
    }
  }

  static absl::StatusOr<std::unique_ptr<SmallDisk>>* disk_;
  std::optional<Program> broker_;
  std::string target_;
  int last_ = 0;
  std::string refusal_;
  std::map<std::string, uint64_t> epochs_;
};

absl::StatusOr<std::unique_ptr<SmallDisk>>* FullDiskTest::disk_ = nullptr;

TEST_F(FullDiskTest,
       WhatIsKnownIsServedTheReasonIsToldAndRegisteringGoesOnWhenThereIsRoomAlsoAcrossRestarts) {
  Start();
  std::optional<WireClient> client = Client();
  ASSERT_EQ(RegisterNext(*client), "OK");
  ASSERT_EQ(ReasonOf(client->Heartbeat()), "OK");

  disk().Fill();
  ExpectReadOnlySoon(*client);
  // Pending channels become ready, although that cannot be written.
  EXPECT_EQ(ReasonOf(client->Heartbeat()), "OK");
  ExpectNothingForgotten(*client);
  EXPECT_EQ(RegisterNext(*client), "STORE_READ_ONLY");
  // What is refused has not happened.
  EXPECT_EQ(ReasonOf(client->Deregister("channel.1")), "STORE_READ_ONLY");
  EXPECT_EQ(ReasonOf(client->Discover("channel.1")), "OK");

  // Killed meanwhile, and started with no room but what is free again in the log.
  Kill();
  Start();
  client = Client();
  // That channels were ready may have been forgotten, which the next heartbeat mends.
  EXPECT_EQ(ReasonOf(client->Heartbeat()), "OK");
  ExpectNothingForgotten(*client);
  ExpectReadOnlySoon(*client);
  EXPECT_EQ(ReasonOf(client->Heartbeat()), "OK");
  ExpectNothingForgotten(*client);

  disk().MakeRoom();
  std::string reason;
  do {
    reason = RegisterNext(*client);
  } while (reason == "STORE_READ_ONLY");
  EXPECT_EQ(reason, "OK");
  EXPECT_THAT(broker_->errors(), HasSubstr("store_writable_again"));
  ASSERT_EQ(ReasonOf(client->Heartbeat()), "OK");
  Kill();
  Start();
  client = Client();
  ExpectNothingForgotten(*client);
}

}  // namespace
}  // namespace pylabhub::broker
