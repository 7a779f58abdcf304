// A broker on a Unix socket: the same calls, the same certificates.

#include "tests/broker/wire_fixture.h"
#include "tests/support/temp_folder.h"

namespace pylabhub::broker {
namespace {

class UnixSocketTest : public WireTest {};

TEST_F(UnixSocketTest, AClientIsServedAndItsCertificateIsItsIdentity) {
  const testing::TempFolder folder("/tmp");
  const auto broker = testing::StartTestBroker(*authority_, {.unix_socket = folder / "socket"});
  EXPECT_EQ(broker->unix_target(), "unix:" + (folder / "socket"));
  WireClient local(testing::ConnectWith(broker->unix_target(), authority_->Client("alice")),
                   "session-of-alice");
  v1::GetBrokerInfoResponse info;
  const grpc::Status status = local.Call(&v1::Broker::Stub::GetBrokerInfo, v1::GetBrokerInfoRequest(), info);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(info.caller_identity(), "alice");
  // It is one directory, whichever way a client comes.
  WireClient remote(testing::ConnectWith(broker->target(), authority_->Client("bob")), "session-of-bob");
  const std::string name = MakeReady(local);
  EXPECT_EQ(ReasonOf(remote.Discover(name)), "OK");
}

TEST_F(UnixSocketTest, WithoutACertificateNobodyGetsInNotEvenLocally) {
  const testing::TempFolder folder("/tmp");
  const auto broker = testing::StartTestBroker(*authority_, {.unix_socket = folder / "socket"});
  WireClient stranger(
      testing::ConnectWithoutCertificate(broker->unix_target(), authority_->Server().ca_certificate_pem),
      "session-of-nobody");
  EXPECT_EQ(stranger.Discover("any").error_code(), grpc::StatusCode::UNAVAILABLE);
}

}  // namespace
}  // namespace pylabhub::broker
