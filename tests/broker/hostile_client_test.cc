// Clients that mean harm, or are broken. After each, and while it is at it, another client's call succeeds at once.

#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/broker/raw_http2.h"
#include "tests/broker/wire_fixture.h"
#include "tests/support/program.h"
#include "tests/support/temp_folder.h"

namespace pylabhub::broker {
namespace {

using ::testing::HasSubstr;
using testing::RawHttp2Client;

constexpr char kDiscoverPath[] = "/pylabhub.v1.Broker/Discover";
// Generous, since the machine may be busy; what hangs, hangs for longer.
constexpr absl::Duration kAtOnce = absl::Seconds(5);

// Sockets that are closed at the end.
class Sockets {
 public:
  ~Sockets() {
    for (const int one : sockets_) close(one);
  }
  void Add(int connection) { sockets_.push_back(connection); }
  const std::vector<int>& all() const { return sockets_; }

 private:
  std::vector<int> sockets_;
};

class HostileClientTest : public WireTest {
 protected:
  // Both a client that was there before, and one that connects now.
  static void ExpectOthersAreServedAtOnce() {
    const absl::Time start_time = absl::Now();
    WireClient newcomer = ClientOf("newcomer");
    EXPECT_EQ(ReasonOf(newcomer.Discover("nothing")), "CHANNEL_NOT_FOUND");
    EXPECT_EQ(ReasonOf(Bystander().Discover("nothing")), "CHANNEL_NOT_FOUND");
    EXPECT_LT(absl::Now() - start_time, kAtOnce);
  }
  static WireClient& Bystander() {
    static auto& client = *new WireClient(ClientOf("bystander"));
    return client;
  }
  static std::unique_ptr<RawHttp2Client> Attacker(const std::string& settings = "") {
    auto client = std::make_unique<RawHttp2Client>(broker_->port(), authority_->Client("mallory"), settings);
    EXPECT_TRUE(client->is_connected());
    return client;
  }
};

// While the broker works off what was reset, its threads may all be taken for a moment, and a call be refused: whoever
// calls again is served.
TEST_F(HostileClientTest, TwentyThousandStreamsThatAreResetAtOnceDelayOthersForAMomentAtMost) {
  const auto broker = testing::StartTestBroker(*authority_);
  WireClient other(testing::ConnectWith(broker->target(), authority_->Client("other")), "session-of-other");
  const auto expect_other_is_served = [&] {
    const absl::Time deadline = absl::Now() + kAtOnce;
    grpc::Status status = other.Discover("nothing");
    while (status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED && absl::Now() < deadline) {
      absl::SleepFor(absl::Milliseconds(10));
      status = other.Discover("nothing");
    }
    EXPECT_EQ(ReasonOf(status), "CHANNEL_NOT_FOUND");
  };
  RawHttp2Client attacker(broker->port(), authority_->Client("mallory"));
  const std::string headers = RawHttp2Client::RequestHeaders(kDiscoverPath);
  uint32_t stream = 1;
  int sent = 0;
  for (int batch = 0; batch < 200; ++batch) {
    std::string frames;
    for (int i = 0; i < 100; ++i, stream += 2) {
      frames += RawHttp2Client::Frame(RawHttp2Client::kHeaders, RawHttp2Client::kEndHeaders, stream, headers);
      frames += RawHttp2Client::Reset(stream);
    }
    if (!attacker.Send(frames)) break;
    sent += 100;
  }
  // The broker takes them all, or has enough of this client; either will do.
  EXPECT_TRUE(sent == 20'000 || !attacker.is_connected()) << sent;
  EXPECT_GE(sent, 100);
  expect_other_is_served();
}

TEST_F(HostileClientTest, AMetadataValueOfAMebibyteIsNotTaken) {
  const auto attacker = Attacker();
  const std::string headers =
      RawHttp2Client::RequestHeaders(kDiscoverPath, {{"x-large", std::string(1 << 20, 'x')}});
  constexpr size_t kFrameBytes = 16'000;
  bool sent = attacker->Send(RawHttp2Client::Frame(RawHttp2Client::kHeaders, RawHttp2Client::kEndStream, 1,
                                                   headers.substr(0, kFrameBytes)));
  for (size_t at = kFrameBytes; sent && at < headers.size(); at += kFrameBytes) {
    const bool is_last = at + kFrameBytes >= headers.size();
    sent = attacker->Send(RawHttp2Client::Frame(RawHttp2Client::kContinuation,
                                                is_last ? RawHttp2Client::kEndHeaders : 0, 1,
                                                headers.substr(at, kFrameBytes)));
  }
  ExpectOthersAreServedAtOnce();

  // By the book, it is an error of the call.
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  context.AddMetadata("x-large", std::string(1 << 20, 'x'));
  v1::DiscoverResponse response;
  EXPECT_EQ(ClientOf("mallory").stub().Discover(&context, v1::DiscoverRequest(), &response).error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
  ExpectOthersAreServedAtOnce();
}

TEST_F(HostileClientTest, ABinaryHeaderThatIsNoneHarmsNobodyElse) {
  const auto attacker = Attacker();
  const std::string headers = RawHttp2Client::RequestHeaders(kDiscoverPath, {{"x-bin", "!!not base64!!"}});
  attacker->Send(RawHttp2Client::Frame(RawHttp2Client::kHeaders,
                                       RawHttp2Client::kEndHeaders | RawHttp2Client::kEndStream, 1, headers));
  ExpectOthersAreServedAtOnce();
}

TEST_F(HostileClientTest, FramesThatMakeNoSenseEndTheirConnectionOnly) {
  const auto attacker = Attacker();
  // Headers on the stream that has none, of a block that cannot be decoded.
  attacker->Send(RawHttp2Client::Frame(RawHttp2Client::kHeaders, RawHttp2Client::kEndHeaders, 0,
                                       std::string(100, '\xff')));
  EXPECT_TRUE(attacker->AwaitClose(absl::Seconds(20)));
  ExpectOthersAreServedAtOnce();
}

TEST_F(HostileClientTest, PlainTextOnThePortIsThrownOut) {
  Sockets sockets;
  for (int i = 0; i < 50; ++i) {
    const int client = testing::ConnectToPort(broker_->port());
    sockets.Add(client);
    const std::string garbage =
        i % 2 == 0 ? "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" : std::string(4096, '\x16');
    send(client, garbage.data(), garbage.size(), MSG_NOSIGNAL);
  }
  ExpectOthersAreServedAtOnce();
  for (const int client : sockets.all()) EXPECT_TRUE(testing::IsClosedWithin(client, absl::Seconds(20)));
  ExpectOthersAreServedAtOnce();
}

TEST_F(HostileClientTest, AHandshakeThatNeverEndsIsCutOffAfterFiveSeconds) {
  Sockets sockets;
  const absl::Time start_time = absl::Now();
  for (int i = 0; i < 100; ++i) sockets.Add(testing::ConnectToPort(broker_->port()));
  // Half of a ClientHello's record header.
  send(sockets.all()[0], "\x16\x03\x01", 3, MSG_NOSIGNAL);
  ExpectOthersAreServedAtOnce();
  for (const int client : sockets.all()) EXPECT_TRUE(testing::IsClosedWithin(client, absl::Seconds(20)));
  EXPECT_GE(absl::Now() - start_time, absl::Seconds(4));
  ExpectOthersAreServedAtOnce();
}

TEST_F(HostileClientTest, HundredsOfIdleConnectionsSlowNobody) {
  std::vector<std::unique_ptr<RawHttp2Client>> idle;
  idle.reserve(200);
  for (int i = 0; i < 200; ++i) idle.push_back(Attacker());
  ExpectOthersAreServedAtOnce();
}

TEST_F(HostileClientTest, AClientThatNeverReadsItsAnswersHoldsNobodyUp) {
  // SETTINGS_INITIAL_WINDOW_SIZE = 0: nothing may be sent to it.
  const auto attacker = Attacker(std::string("\0\x04\0\0\0\0", 6));
  const std::string headers = RawHttp2Client::RequestHeaders(kDiscoverPath);
  v1::DiscoverRequest request;
  for (int i = 0; i < 1000; ++i) request.add_names(absl::StrCat("nothing.", i));
  const std::string message = request.SerializeAsString();
  std::string body = {0};
  for (const int shift : {24, 16, 8, 0}) body += static_cast<char>(message.size() >> shift);
  body += message;
  for (uint32_t stream = 1; stream < 2 * 3; stream += 2) {
    std::string frames =
        RawHttp2Client::Frame(RawHttp2Client::kHeaders, RawHttp2Client::kEndHeaders, stream, headers);
    // DATA frames are type 0.
    frames += RawHttp2Client::Frame(static_cast<RawHttp2Client::FrameType>(0), RawHttp2Client::kEndStream,
                                    stream, body);
    if (!attacker->Send(frames)) break;
  }
  EXPECT_TRUE(attacker->is_connected());
  ExpectOthersAreServedAtOnce();
}

TEST(DescriptorTableTest, ABrokerWhoseTableOfDescriptorsWasFullServesAgain) {
  const testing::TempFolder folder;
  testing::Program broker(
      {"/bin/sh", "-c", "ulimit -n 64; exec broker/pylabhub-broker --port=0 --state-dir=" + folder.path()});
  const std::string line = broker.ReadLine();
  ASSERT_THAT(line, HasSubstr("listening on ")) << broker.errors();
  const std::string target = line.substr(line.rfind(' ') + 1);
  const int port = std::stoi(target.substr(target.rfind(':') + 1));
  const auto files = tls::LoadTlsFiles(tls::ClientPathsIn(folder / "certs"));
  ASSERT_TRUE(files.ok()) << files.status();
  WireClient early(testing::ConnectWith(target, *files), "session-of-early");
  EXPECT_EQ(ReasonOf(early.Discover("nothing")), "CHANNEL_NOT_FOUND");
  {
    Sockets flood;
    for (int i = 0; i < 200; ++i) flood.Add(testing::ConnectToPort(port));
    // The last of them is refused, not left hanging (and not by the time-out of its handshake).
    EXPECT_TRUE(testing::IsClosedWithin(flood.all().back(), absl::Seconds(4)));
    EXPECT_EQ(ReasonOf(early.Discover("nothing")), "CHANNEL_NOT_FOUND");
  }
  EXPECT_THAT(broker.errors(), HasSubstr("event=descriptor_table_full"));
  // The broker may need a moment to see that the flood is gone.
  WireClient late(testing::ConnectWith(target, *files), "session-of-late");
  const absl::Time deadline = absl::Now() + absl::Seconds(10);
  auto answer = late.Discover("nothing");
  while (answer.error_code() == grpc::StatusCode::UNAVAILABLE && absl::Now() < deadline) {
    answer = late.Discover("nothing");
  }
  EXPECT_EQ(ReasonOf(answer), "CHANNEL_NOT_FOUND");
  broker.Signal(SIGTERM);
  EXPECT_EQ(broker.Wait(), 0);
}

}  // namespace
}  // namespace pylabhub::broker
