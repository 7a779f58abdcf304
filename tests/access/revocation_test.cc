// Certificates that are withdrawn or have expired: on new connections, on resumed ones, and on those that stand.

#include <grpc/grpc_security.h>
#include <grpc/grpc_security_constants.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include "proto/grpc/health/v1/health.grpc.pb.h"
#include "tests/access/lab.h"
#include "tests/broker/watch_client.h"
#include "tests/broker/wire_fixture.h"
#include "tests/proto/tls/make_crl.h"

namespace pylabhub::broker {
namespace {

using testing::Lab;
using testing::NewClient;

std::chrono::system_clock::time_point Soon() {
  return std::chrono::system_clock::now() + std::chrono::seconds(20);
}

class RevocationTest : public ::testing::Test {
 protected:
  WireClient ClientWith(const tls::TlsFiles& files, const std::string& session = "session-of-alice") {
    return {lab_.Connect(files), session};
  }

  Lab lab_;
};

TEST_F(RevocationTest, ARevokedSerialIsRefusedOnNewAndOnStandingConnectionsAndOthersOfTheIdentityAreNot) {
  const tls::Credential stolen = NewClient(lab_.authority(), "alice", tls::ValidFor(absl::Hours(1)));
  WireClient standing = ClientWith(lab_.FilesOf(stolen));
  WireClient other = ClientWith(lab_.Client("alice"), "another-session");
  EXPECT_EQ(ReasonOf(standing.Register("a").status), "OK");
  lab_.RevokeSerial(testing::SerialOf(stolen));
  ASSERT_TRUE(lab_.broker().Reload().ok());
  const grpc::Status refused = standing.Heartbeat();
  EXPECT_EQ(ReasonOf(refused), "CERTIFICATE_REVOKED");
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_THAT(refused.error_message(), ::testing::HasSubstr("is revoked (a test)"));
  EXPECT_EQ(ReasonOf(ClientWith(lab_.FilesOf(stolen)).Heartbeat()), "CERTIFICATE_REVOKED");
  EXPECT_EQ(ReasonOf(other.Heartbeat()), "OK");
}

TEST_F(RevocationTest, ARevokedIdentityLosesItsChannelsAndConsumersAtOnceAndWatchersLearnWhy) {
  WireClient alice = ClientWith(lab_.Client("alice"));
  WireClient bob = ClientWith(lab_.Client("bob"), "session-of-bob");
  for (const char* name : {"a", "b"}) {
    WireClient& producer = *name == 'a' ? alice : bob;
    EXPECT_EQ(ReasonOf(producer.Register(name).status), "OK");
    EXPECT_EQ(ReasonOf(producer.Heartbeat()), "OK");
  }
  EXPECT_EQ(ReasonOf(alice.Consume("b")), "OK");
  WatchClient watch(bob.stub(), {});
  watch.Next();  // the bookmark with which it begins
  lab_.RevokeIdentity("alice");
  ASSERT_TRUE(lab_.broker().Reload().ok());
  const auto left = watch.NextChange();
  ASSERT_TRUE(left.has_value());
  EXPECT_EQ(left->kind(), v1::WATCH_EVENT_KIND_CONSUMER_LEFT);
  EXPECT_EQ(left->leave_reason(), v1::CONSUMER_LEAVE_REASON_REVOKED);
  const auto closing = watch.NextChange();
  ASSERT_TRUE(closing.has_value());
  EXPECT_EQ(closing->kind(), v1::WATCH_EVENT_KIND_CHANNEL_CLOSING);
  EXPECT_EQ(closing->channel().close_reason(), v1::CLOSE_REASON_REVOKED);
  EXPECT_EQ(ReasonOf(alice.Heartbeat()), "CERTIFICATE_REVOKED");
  EXPECT_EQ(ReasonOf(bob.Discover("a")), "CHANNEL_NOT_FOUND");
  EXPECT_FALSE(lab_.Logged("sessions_revoked").empty());
}

TEST_F(RevocationTest, ALiveWatchIsCutWhenItsCertificateIsRevoked) {
  WireClient alice = ClientWith(lab_.Client("alice"));
  WireClient bob = ClientWith(lab_.Client("bob"), "session-of-bob");
  WatchClient revoked(alice.stub(), {});
  WatchClient other(bob.stub(), {});
  revoked.Next();
  other.Next();
  lab_.RevokeIdentity("alice");
  const absl::Time start = absl::Now();
  ASSERT_TRUE(lab_.broker().Reload().ok());
  EXPECT_EQ(ReasonOf(revoked.End()), "CERTIFICATE_REVOKED");
  EXPECT_LT(absl::Now() - start, lab_.options().registry.heartbeat_interval());
  EXPECT_EQ(ReasonOf(bob.Register("b").status), "OK");
  EXPECT_EQ(other.NextLine(), "PENDING b");
}

TEST_F(RevocationTest, ALiveWatchIsCutWhenItsCertificateExpires) {
  const absl::Time expire_time = absl::Now() + absl::Seconds(3);
  WireClient alice = ClientWith(
      lab_.FilesOf(NewClient(lab_.authority(), "alice", {absl::Now() - absl::Hours(1), expire_time})));
  WatchClient watch(alice.stub(), {});
  EXPECT_TRUE(watch.Next().has_value());
  EXPECT_EQ(ReasonOf(watch.End()), "CERTIFICATE_REVOKED");
  EXPECT_LT(absl::Now() - expire_time, lab_.options().registry.heartbeat_interval());
  EXPECT_EQ(ReasonOf(alice.Heartbeat()), "CERTIFICATE_REVOKED");
}

TEST_F(RevocationTest, ServicesThatAreNotPylabhubsOwnAreClosedToARevokedCertificateToo) {
  const auto channel = lab_.Connect(lab_.Client("alice"));
  const auto health = [&] {
    grpc::ClientContext context;
    context.set_deadline(Soon());
    grpc::health::v1::HealthCheckResponse response;
    return grpc::health::v1::Health::NewStub(channel)->Check(&context, {}, &response);
  };
  EXPECT_TRUE(health().ok());
  lab_.RevokeIdentity("alice");
  ASSERT_TRUE(lab_.broker().Reload().ok());
  EXPECT_EQ(health().error_code(), grpc::StatusCode::UNAUTHENTICATED);
}

TEST_F(RevocationTest, ARevocationThatIsTakenBackLetsTheIdentityInAgain) {
  WireClient alice = ClientWith(lab_.Client("alice"));
  lab_.RevokeIdentity("alice");
  ASSERT_TRUE(lab_.broker().Reload().ok());
  EXPECT_EQ(ReasonOf(alice.Register("a").status), "CERTIFICATE_REVOKED");
  lab_.WriteRevocations({});
  ASSERT_TRUE(lab_.broker().Reload().ok());
  EXPECT_EQ(ReasonOf(alice.Register("a").status), "OK");
}

TEST_F(RevocationTest, ARevokedIdentitysSessionsDoNotOutliveARestart) {
  const testing::TempFolder store;
  lab_.options().store_folder = store.path();
  lab_.Start();
  WireClient alice = ClientWith(lab_.Client("alice"));
  EXPECT_EQ(ReasonOf(alice.Register("a").status), "OK");
  EXPECT_EQ(ReasonOf(alice.Heartbeat()), "OK");
  lab_.Stop();
  lab_.RevokeIdentity("alice");
  lab_.Start();
  EXPECT_EQ(ReasonOf(ClientWith(lab_.Client("bob"), "session-of-bob").Discover("a")), "CHANNEL_NOT_FOUND");
}

TEST_F(RevocationTest, TheAuthoritysListCountsToo) {
  const tls::Credential stolen = NewClient(lab_.authority(), "alice", tls::ValidFor(absl::Hours(1)));
  const std::string crl = lab_.folder() + "/crl.pem";
  ASSERT_TRUE(tls::WritePrivateFile(crl, testing::MakeCrl(lab_.authority(), {})).ok());
  lab_.options().certificate_files.crl = crl;
  lab_.Start();
  WireClient alice = ClientWith(lab_.FilesOf(stolen));
  EXPECT_EQ(ReasonOf(alice.Register("a").status), "OK");
  ASSERT_TRUE(tls::WritePrivateFile(crl, testing::MakeCrl(lab_.authority(), {stolen})).ok());
  ASSERT_TRUE(lab_.broker().Reload().ok());
  EXPECT_EQ(ReasonOf(alice.Heartbeat()), "CERTIFICATE_REVOKED");
}

// Connections that resume TLS sessions of one cache.
class TicketTest : public RevocationTest {
 protected:
  TicketTest() : cache_(grpc_ssl_session_cache_create_lru(16)) {}
  ~TicketTest() override { grpc_ssl_session_cache_destroy(cache_); }

  struct Answer {
    grpc::Status status;
    bool resumed = false;
  };
  // Calls once over a new connection, and waits until the next can resume it.
  Answer CallAnew(const tls::TlsFiles& files) {
    const grpc_arg cache = grpc_ssl_session_cache_create_channel_arg(cache_);
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    arguments.SetSslTargetNameOverride("localhost");
    arguments.SetPointerWithVtable(cache.key, cache.value.pointer.p, cache.value.pointer.vtable);
    const auto channel = grpc::CreateCustomChannel(
        lab_.broker().target(),
        grpc::SslCredentials({files.ca_certificate_pem, files.key_pem, files.certificate_pem}), arguments);
    grpc::ClientContext context;
    context.set_deadline(Soon());
    v1::GetBrokerInfoResponse response;
    Answer answer;
    answer.status = v1::Broker::NewStub(channel)->GetBrokerInfo(&context, {}, &response);
    const auto reused = context.auth_context()->FindPropertyValues(GRPC_SSL_SESSION_REUSED_PROPERTY);
    answer.resumed = !reused.empty() && reused[0] == "true";
    return answer;
  }

 private:
  grpc_ssl_session_cache* const cache_;
};

TEST_F(TicketTest, ALiveTicketResumesNoSessionOfARevokedCertificate) {
  const tls::TlsFiles alice = lab_.Client("alice");
  EXPECT_FALSE(CallAnew(alice).resumed);
  const Answer before = CallAnew(alice);
  EXPECT_TRUE(before.status.ok()) << before.status.error_message();
  ASSERT_TRUE(before.resumed);
  lab_.RevokeIdentity("alice");
  ASSERT_TRUE(lab_.broker().Reload().ok());
  const Answer after = CallAnew(alice);
  EXPECT_FALSE(after.resumed);
  EXPECT_EQ(ReasonOf(after.status), "CERTIFICATE_REVOKED");
}

TEST_F(TicketTest, AResumedSessionOfACertificateThatExpiredMeanwhileIsRefused) {
  const tls::TlsFiles alice = lab_.FilesOf(
      NewClient(lab_.authority(), "alice", {absl::Now() - absl::Hours(1), absl::Now() + absl::Seconds(3)}));
  ASSERT_TRUE(CallAnew(alice).status.ok());
  bool resumed_while_good = false;
  Answer last;
  do {
    last = CallAnew(alice);
    resumed_while_good = resumed_while_good || (last.status.ok() && last.resumed);
  } while (last.status.ok());
  EXPECT_TRUE(resumed_while_good);
  ASSERT_TRUE(last.resumed);
  EXPECT_EQ(ReasonOf(last.status), "CERTIFICATE_REVOKED");
}

}  // namespace
}  // namespace pylabhub::broker
