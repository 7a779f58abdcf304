// The server as a whole: who gets in, who may listen, how it ends.

#include "broker/embedded_broker.h"

#include <algorithm>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "proto/grpc/health/v1/health.grpc.pb.h"
#include "proto/pylabhub/v1/admin.grpc.pb.h"
#include "proto/pylabhub/v1/schema_registry.grpc.pb.h"
#include "tests/broker/wire_fixture.h"

namespace pylabhub::broker {
namespace {

using grpc::health::v1::Health;
using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;
using ::testing::HasSubstr;

class EmbeddedBrokerTest : public WireTest {
 protected:
  // How a first call over `channel` ends.
  static grpc::Status FirstCall(const std::shared_ptr<grpc::Channel>& channel) {
    v1::GetBrokerInfoRequest request;
    v1::GetBrokerInfoResponse response;
    return WireClient(channel, "any-session").Call(&v1::Broker::Stub::GetBrokerInfo, request, response);
  }
};

TEST_F(EmbeddedBrokerTest, AClientWithACertificateOfOurAuthorityGetsIn) {
  EXPECT_TRUE(FirstCall(testing::ConnectWith(broker_->target(), authority_->Client("alice"))).ok());
}

TEST_F(EmbeddedBrokerTest, AClientWithoutACertificateStaysOutside) {
  const std::string ca = authority_->Server().ca_certificate_pem;
  EXPECT_EQ(FirstCall(testing::ConnectWithoutCertificate(broker_->target(), ca)).error_code(),
            grpc::StatusCode::UNAVAILABLE);
}

TEST_F(EmbeddedBrokerTest, AClientOfAnotherAuthorityStaysOutside) {
  const testing::TestAuthority other;
  tls::TlsFiles files = other.Client("alice");
  // It trusts the server, so that only the broker can refuse.
  files.ca_certificate_pem = authority_->Server().ca_certificate_pem;
  EXPECT_EQ(FirstCall(testing::ConnectWith(broker_->target(), files)).error_code(),
            grpc::StatusCode::UNAVAILABLE);
}

TEST_F(EmbeddedBrokerTest, AClientWhoseCertificateHasExpiredStaysOutside) {
  const absl::Time now = absl::Now();
  const auto at = [&](absl::Duration expired_for) {
    const tls::Validity validity = {now - absl::Hours(2), now - expired_for};
    return FirstCall(testing::ConnectWith(broker_->target(), authority_->Client("alice", validity)))
        .error_code();
  };
  EXPECT_EQ(at(absl::Minutes(1)), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(at(-absl::Minutes(10)), grpc::StatusCode::OK);
}

TEST_F(EmbeddedBrokerTest, AClientDoesNotTrustABrokerOfAnotherAuthority) {
  const testing::TestAuthority other;
  tls::TlsFiles files = authority_->Client("alice");
  files.ca_certificate_pem = other.Server().ca_certificate_pem;
  EXPECT_EQ(FirstCall(testing::ConnectWith(broker_->target(), files)).error_code(),
            grpc::StatusCode::UNAVAILABLE);
}

TEST_F(EmbeddedBrokerTest, ASecondBrokerOnOnePortIsToldThatThePortIsTaken) {
  BrokerOptions options = {.port = broker_->port(), .tls = authority_->Server()};
  const auto second = StartBroker(options);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr(std::to_string(broker_->port())));
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("the port is taken"));
  // The first goes on.
  EXPECT_TRUE(FirstCall(testing::ConnectWith(broker_->target(), authority_->Client("alice"))).ok());
}

TEST_F(EmbeddedBrokerTest, APortIsFreeAgainWhenItsBrokerHasStopped) {
  auto first = testing::StartTestBroker(*authority_);
  const int port = first->port();
  const auto client = testing::ConnectWith(first->target(), authority_->Client("alice"));
  EXPECT_TRUE(FirstCall(client).ok());
  first->Stop();
  first->Stop();
  const auto second = StartBroker({.port = port, .tls = authority_->Server()});
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ((*second)->port(), port);
}

TEST_F(EmbeddedBrokerTest, TwoBrokersInOneProcessKnowNothingOfEachOther) {
  const auto second = testing::StartTestBroker(*authority_);
  WireClient here = ClientOf("alice");
  WireClient there(testing::ConnectWith(second->target(), authority_->Client("alice")), "session-of-alice");
  const std::string name = MakeReady(here);
  EXPECT_EQ(ReasonOf(there.Discover(name)), "CHANNEL_NOT_FOUND");
  EXPECT_EQ(ReasonOf(there.Register(name, std::string(32, 'x')).status), "OK");
}

TEST_F(EmbeddedBrokerTest, ALeaseEndsWithNoCallToNoticeIt) {
  std::mutex mutex;
  std::condition_variable changed;
  bool closed = false;
  BrokerOptions options = {.registry = {.lease_ttl = absl::Milliseconds(300)}};
  options.log = [&](const LogRecord& record) {
    if (record.event != "channel_closing") return;
    const std::lock_guard<std::mutex> lock(mutex);
    closed = true;
    EXPECT_THAT(record.fields, ::testing::Contains(::testing::Pair("reason", "lease_expired")));
    changed.notify_all();
  };
  const auto broker = testing::StartTestBroker(*authority_, options);
  WireClient client(testing::ConnectWith(broker->target(), authority_->Client("alice")), "session-of-alice");
  ASSERT_EQ(ReasonOf(client.Register("a").status), "OK");
  std::unique_lock<std::mutex> lock(mutex);
  EXPECT_TRUE(changed.wait_for(lock, std::chrono::seconds(20), [&] { return closed; }));
  lock.unlock();
  EXPECT_EQ(ReasonOf(client.Discover("a")), "CHANNEL_NOT_FOUND");
}

TEST_F(EmbeddedBrokerTest, EveryChangeIsAuditedWithWhoWhatAndResult) {
  std::mutex mutex;
  std::vector<LogRecord> calls;
  BrokerOptions options;
  options.log = [&](const LogRecord& record) {
    const std::lock_guard<std::mutex> lock(mutex);
    if (record.event == "call") calls.push_back(record);
  };
  const auto broker = testing::StartTestBroker(*authority_, options);
  WireClient client(testing::ConnectWith(broker->target(), authority_->Client("alice")), "session-of-alice");
  ASSERT_TRUE(client.Register("a").status.ok());
  ASSERT_FALSE(client.Consume("b").ok());
  const std::lock_guard<std::mutex> lock(mutex);
  ASSERT_EQ(calls.size(), 2u);
  using ::testing::IsSupersetOf;
  using ::testing::Pair;
  EXPECT_THAT(calls[0].fields,
              IsSupersetOf({Pair("method", "Register"), Pair("identity", "alice"), Pair("channel", "a"),
                            Pair("session", "session-"), Pair("result", "OK")}));
  EXPECT_EQ(calls[1].level, LogLevel::kWarning);
  EXPECT_THAT(calls[1].fields, IsSupersetOf({Pair("method", "ConsumerRegister"), Pair("channel", "b"),
                                             Pair("result", "CHANNEL_NOT_FOUND")}));
}

TEST_F(EmbeddedBrokerTest, HealthIsServingUntilTheBrokerStops) {
  auto broker = testing::StartTestBroker(*authority_);
  const auto stub = Health::NewStub(testing::ConnectWith(broker->target(), authority_->Client("probe")));
  const auto check = [&](const std::string& service, HealthCheckResponse& response) {
    grpc::ClientContext context;
    HealthCheckRequest request;
    request.set_service(service);
    return stub->Check(&context, request, &response);
  };
  HealthCheckResponse response;
  for (const char* service : {"", "pylabhub.v1.Broker"}) {
    ASSERT_TRUE(check(service, response).ok());
    EXPECT_EQ(response.status(), HealthCheckResponse::SERVING);
  }
  EXPECT_EQ(check("no.such.Service", response).error_code(), grpc::StatusCode::NOT_FOUND);

  grpc::ClientContext context;
  const auto watch = stub->Watch(&context, {});
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), HealthCheckResponse::SERVING);
  std::thread stopper([&] { broker->Stop(); });
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), HealthCheckResponse::NOT_SERVING);
  EXPECT_FALSE(watch->Read(&response));
  EXPECT_EQ(watch->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  stopper.join();
}

TEST_F(EmbeddedBrokerTest, EveryMethodThatIsPublishedIsListedAsImplemented) {
  std::set<std::string> published;
  for (const char* service : {v1::Admin::service_full_name(), v1::Broker::service_full_name(),
                              v1::SchemaRegistry::service_full_name()}) {
    const auto* described = google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(service);
    ASSERT_NE(described, nullptr) << service;
    for (int i = 0; i < described->method_count(); ++i) {
      published.insert(std::string("/") + service + "/" + described->method(i)->name());
    }
  }
  WireClient client = ClientOf("alice");
  v1::GetBrokerInfoResponse info;
  ASSERT_TRUE(client.Call(&v1::Broker::Stub::GetBrokerInfo, v1::GetBrokerInfoRequest(), info).ok());
  EXPECT_THAT(info.implemented_methods(), ::testing::ElementsAreArray(published));
}

TEST_F(EmbeddedBrokerTest, WrongOptionsAreNamed) {
  const tls::TlsFiles files = authority_->Server();
  const auto message = [](BrokerOptions options) {
    const auto broker = StartBroker(std::move(options));
    return std::string(broker.status().message());
  };
  EXPECT_THAT(message({.address = "localhost", .tls = files}), HasSubstr("\"localhost\" is no IP address"));
  EXPECT_THAT(message({.port = 65536, .tls = files}), HasSubstr("port 65536"));
  EXPECT_THAT(message({.tls = {}}), HasSubstr("needs a server certificate"));
  EXPECT_THAT(message({.tls = files, .registry = {.lease_ttl = absl::Milliseconds(99)}}),
              HasSubstr("lease time"));
  tls::TlsFiles mixed = files;
  mixed.key_pem = authority_->Server().key_pem;
  EXPECT_THAT(message({.tls = mixed}), HasSubstr("the server's certificate"));
  EXPECT_THAT(message({.address = "192.0.2.1", .tls = files}), HasSubstr("cannot listen on 192.0.2.1"));
}

}  // namespace
}  // namespace pylabhub::broker
