// Who does not come in at all, and whose papers are of no use to others.

#include "tests/access/lab.h"
#include "tests/broker/wire_fixture.h"

namespace pylabhub::broker {
namespace {

using testing::Lab;
using testing::NewClient;

constexpr absl::Duration kHour = absl::Hours(1);

class HandshakeTest : public ::testing::Test {
 protected:
  // How a call over a new connection ends.
  grpc::Status CallWith(const tls::TlsFiles& files) {
    v1::GetBrokerInfoResponse response;
    return WireClient(lab_.Connect(files), "any-session")
        .Call(&v1::Broker::Stub::GetBrokerInfo, v1::GetBrokerInfoRequest(), response);
  }
  void ExpectNoHandshake(const grpc::Status& status) {
    EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE) << status.error_message();
    EXPECT_TRUE(status.error_details().empty());
    // It was not the broker that was gone.
    EXPECT_TRUE(CallWith(lab_.Client("alice")).ok());
  }

  Lab lab_;
};

TEST_F(HandshakeTest, NobodyComesInWithoutACertificate) {
  v1::GetBrokerInfoResponse response;
  const auto channel =
      testing::ConnectWithoutCertificate(lab_.broker().target(), lab_.authority().certificate_pem);
  ExpectNoHandshake(WireClient(channel, "any-session")
                        .Call(&v1::Broker::Stub::GetBrokerInfo, v1::GetBrokerInfoRequest(), response));
}

TEST_F(HandshakeTest, NobodyComesInWithACertificateOfAnotherAuthorityOfTheSameName) {
  ExpectNoHandshake(
      CallWith(lab_.FilesOf(NewClient(testing::NewAuthority(), "alice", tls::ValidFor(kHour)))));
}

TEST_F(HandshakeTest, NobodyComesInWithACertificateThatHasExpired) {
  const absl::Time now = absl::Now();
  ExpectNoHandshake(
      CallWith(lab_.FilesOf(NewClient(lab_.authority(), "alice", {now - 2 * kHour, now - kHour}))));
}

TEST_F(HandshakeTest, NobodyComesInWithACertificateThatIsNotValidYet) {
  const absl::Time now = absl::Now();
  ExpectNoHandshake(
      CallWith(lab_.FilesOf(NewClient(lab_.authority(), "alice", {now + kHour, now + 2 * kHour}))));
}

TEST_F(HandshakeTest, NobodyComesInWithAServersCertificate) {
  ExpectNoHandshake(CallWith(lab_.FilesOf(testing::NewServer(lab_.authority()))));
}

TEST_F(HandshakeTest, SomebodyElsesSessionAndEpochAreOfNoUse) {
  WireClient alice(lab_.Connect(lab_.Client("alice")), "session-of-alice");
  const auto registered = alice.Register("a");
  EXPECT_EQ(ReasonOf(registered.status), "OK");
  EXPECT_EQ(ReasonOf(alice.Heartbeat()), "OK");
  const uint64_t epoch = registered.response.channel().epoch();

  WireClient mallory(lab_.Connect(lab_.Client("mallory")), "session-of-alice");
  EXPECT_EQ(ReasonOf(mallory.Register("b").status), "SESSION_NOT_YOURS");
  EXPECT_EQ(ReasonOf(mallory.Heartbeat()), "SESSION_NOT_YOURS");
  EXPECT_EQ(ReasonOf(mallory.Consume("a")), "SESSION_NOT_YOURS");
  EXPECT_EQ(ReasonOf(mallory.Deregister("a", epoch)), "NOT_REGISTERED");
  v1::Channel channel;
  EXPECT_EQ(ReasonOf(alice.Discover("a", &channel)), "OK");
  EXPECT_EQ(channel.epoch(), epoch);
}

}  // namespace
}  // namespace pylabhub::broker
