// What an operator may do to a broker, as a client on the wire sees it.

#include "broker/admin_service.h"

#include <set>

#include "absl/strings/str_cat.h"
#include "proto/grpc/health/v1/health.grpc.pb.h"
#include "proto/pylabhub/v1/admin.grpc.pb.h"
#include "tests/broker/watch_client.h"
#include "tests/broker/wire_fixture.h"

namespace pylabhub::broker {
namespace {

using ::testing::HasSubstr;

// A broker of the test's own, whose administrator is "operator".
class AdminServiceTest : public ::testing::Test {
 protected:
  static BrokerOptions WithOperator() {
    BrokerOptions options;
    options.admins = {"operator"};
    return options;
  }
  AdminServiceTest()
      : broker_(testing::StartTestBroker(authority_, WithOperator())),
        operator_(v1::Admin::NewStub(ConnectionOf("operator"))) {}

  std::shared_ptr<grpc::Channel> ConnectionOf(const std::string& identity) {
    return testing::ConnectWith(broker_->target(), authority_.Client(identity));
  }
  WireClient ClientOf(const std::string& identity) {
    return WireClient(ConnectionOf(identity), "session-of-" + identity);
  }
  template <typename Method, typename Request, typename Response>
  grpc::Status Call(Method method, const Request& request, Response& response) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    return ((*operator_).*method)(&context, request, &response);
  }
  grpc::Status Close(const std::string& name, uint64_t epoch = 0) {
    v1::CloseChannelRequest request;
    request.set_name(name);
    request.set_epoch(epoch);
    v1::CloseChannelResponse response;
    grpc::Status status = Call(&v1::Admin::Stub::CloseChannel, request, response);
    closed_ = response.channel();
    return status;
  }
  grpc::Status Drain(int64_t grace_seconds) {
    v1::DrainRequest request;
    request.mutable_grace_period()->set_seconds(grace_seconds);
    return Call(&v1::Admin::Stub::Drain, request, drained_);
  }
  // Why `client` does not hold the channel that it claims; "held" if it does.
  static std::string WhyLost(WireClient& client, const std::string& session_id, const std::string& name) {
    v1::HeartbeatRequest request;
    request.add_sessions()->set_session_id(session_id);
    request.mutable_sessions(0)->add_channels()->set_name(name);
    v1::HeartbeatResponse response;
    EXPECT_TRUE(client.Call(&v1::Broker::Stub::Heartbeat, request, response).ok());
    if (response.sessions(0).lost_channels_size() == 0) return "held";
    return v1::LossReason_Name(response.sessions(0).lost_channels(0).reason());
  }

  testing::TestAuthority authority_;
  std::unique_ptr<EmbeddedBroker> broker_;
  std::unique_ptr<v1::Admin::Stub> operator_;
  v1::Channel closed_;
  v1::DrainResponse drained_;
};

TEST_F(AdminServiceTest, WhoeverIsNoAdministratorIsRefusedEveryCallAndToldWhatToDo) {
  const auto stub = v1::Admin::NewStub(ConnectionOf("alice"));
  grpc::ClientContext contexts[3];
  v1::CloseChannelResponse closed;
  v1::ListSessionsResponse listed;
  v1::DrainResponse drained;
  const grpc::Status status = stub->CloseChannel(&contexts[0], {}, &closed);
  EXPECT_EQ(ReasonOf(status), "POLICY_DENIED");
  EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_THAT(status.error_message(), HasSubstr("--admin alice"));
  EXPECT_EQ(DetailIn<google::rpc::ErrorInfo>(status).metadata().at("action"), "ADMIN");
  EXPECT_EQ(ReasonOf(stub->ListSessions(&contexts[1], {}, &listed)), "POLICY_DENIED");
  EXPECT_EQ(ReasonOf(stub->Drain(&contexts[2], {}, &drained)), "POLICY_DENIED");
}

TEST_F(AdminServiceTest, AClosedChannelIsGoneForConsumersAndItsProducerIsToldWhy) {
  WireClient producer = ClientOf("producer");
  WireClient consumer = ClientOf("consumer");
  ASSERT_EQ(ReasonOf(producer.Register("a").status), "OK");
  ASSERT_EQ(ReasonOf(producer.Heartbeat()), "OK");
  WatchClient watcher(consumer.stub(), {});
  ASSERT_EQ(WatchClient::LineOf(watcher.Next()), "BOOKMARK");
  EXPECT_EQ(ReasonOf(Close("a")), "OK");
  EXPECT_EQ(closed_.state(), v1::CHANNEL_STATE_CLOSING);
  const auto closing = watcher.NextChange();
  ASSERT_EQ(WatchClient::LineOf(closing), "CLOSING a");
  EXPECT_EQ(closing->channel().close_reason(), v1::CLOSE_REASON_CLOSED_BY_ADMIN);
  EXPECT_EQ(ReasonOf(consumer.Discover("a")), "CHANNEL_NOT_FOUND");
  // Although nobody consumed it.
  EXPECT_EQ(WhyLost(producer, "session-of-producer", "a"), "LOSS_REASON_CLOSED_BY_ADMIN");
  // Once more changes nothing, and anybody may have the name.
  EXPECT_EQ(ReasonOf(Close("a")), "OK");
  EXPECT_EQ(ReasonOf(consumer.Register("a").status), "OK");
}

TEST_F(AdminServiceTest, OnlyTheRegistrationThatWasMeantIsClosed) {
  WireClient producer = ClientOf("producer");
  const auto first = producer.Register("a");
  ASSERT_EQ(ReasonOf(first.status), "OK");
  ASSERT_EQ(ReasonOf(producer.Register("a", kWireHash, 't').status), "OK");
  const grpc::Status status = Close("a", first.response.channel().epoch());
  EXPECT_EQ(ReasonOf(status), "STALE_EPOCH");
  EXPECT_EQ(WhyLost(producer, "session-of-producer", "a"), "held");
  EXPECT_EQ(ReasonOf(Close("nobody.knows.it")), "CHANNEL_NOT_FOUND");
}

TEST_F(AdminServiceTest, SessionsAreListedInPagesWithWhatTheyHold) {
  const auto connection = ConnectionOf("alice");
  for (int i = 0; i < 25; ++i) {
    WireClient client(connection, absl::StrCat("session-", 1000 + i));
    ASSERT_EQ(ReasonOf(client.Register(absl::StrCat("channel.", i)).status), "OK");
    ASSERT_EQ(ReasonOf(client.Heartbeat()), "OK");
  }
  WireClient bob = ClientOf("bob");
  ASSERT_EQ(ReasonOf(bob.Consume("channel.3", "c1")), "OK");

  v1::ListSessionsRequest request;
  request.set_page_size(10);
  std::set<std::string> channels;
  int sessions = 0;
  int pages = 0;
  do {
    v1::ListSessionsResponse response;
    ASSERT_TRUE(Call(&v1::Admin::Stub::ListSessions, request, response).ok());
    for (const v1::Session& session : response.sessions()) {
      ++sessions;
      EXPECT_EQ(session.session_id_prefix(), "session-");
      EXPECT_THAT(session.peer_address(), HasSubstr("127.0.0.1"));
      EXPECT_GE(session.lease_expire_time().seconds(), session.renew_time().seconds() + 9);
      channels.insert(session.channel_names().begin(), session.channel_names().end());
    }
    request.set_page_token(response.next_page_token());
    ++pages;
  } while (!request.page_token().empty());
  EXPECT_EQ(sessions, 26);
  EXPECT_EQ(channels.size(), 25u);
  EXPECT_EQ(pages, 3);

  request.set_identity("bob");
  v1::ListSessionsResponse response;
  ASSERT_TRUE(Call(&v1::Admin::Stub::ListSessions, request, response).ok());
  ASSERT_EQ(response.sessions_size(), 1);
  ASSERT_EQ(response.sessions(0).consumers_size(), 1);
  EXPECT_EQ(response.sessions(0).consumers(0).channel_name(), "channel.3");
  EXPECT_EQ(response.sessions(0).consumers(0).consumer_id(), "c1");

  request.set_page_token("made up");
  EXPECT_EQ(ReasonOf(Call(&v1::Admin::Stub::ListSessions, request, response)), "INVALID_REQUEST");
}

TEST_F(AdminServiceTest, ADrainedBrokerTakesNothingNewKeepsLeasesAndSendsWatchersAway) {
  WireClient producer = ClientOf("producer");
  ASSERT_EQ(ReasonOf(producer.Register("a").status), "OK");
  ASSERT_EQ(ReasonOf(producer.Heartbeat()), "OK");
  WatchClient watcher(producer.stub(), {});
  ASSERT_EQ(WatchClient::LineOf(watcher.Next()), "BOOKMARK");

  EXPECT_EQ(ReasonOf(Drain(601)), "INVALID_REQUEST");
  EXPECT_EQ(ReasonOf(Drain(600)), "OK");
  EXPECT_EQ(drained_.session_count(), 1u);
  const auto health = grpc::health::v1::Health::NewStub(ConnectionOf("probe"));
  grpc::ClientContext context;
  grpc::health::v1::HealthCheckResponse response;
  ASSERT_TRUE(health->Check(&context, {}, &response).ok());
  EXPECT_EQ(response.status(), grpc::health::v1::HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(ReasonOf(producer.Register("b").status), "SHUTTING_DOWN");
  EXPECT_EQ(ReasonOf(producer.Consume("a")), "SHUTTING_DOWN");
  EXPECT_EQ(ReasonOf(producer.Discover("a")), "OK");
  EXPECT_EQ(WhyLost(producer, "session-of-producer", "a"), "held");
  EXPECT_EQ(ReasonOf(WatchClient(producer.stub(), {}).End()), "SHUTTING_DOWN");
  // The streams that there are have the time that they were given: this one is still told.
  EXPECT_EQ(ReasonOf(producer.Deregister("a")), "OK");
  EXPECT_EQ(watcher.NextLine(), "CLOSING a");
  // Now it is to be at once.
  EXPECT_EQ(ReasonOf(Drain(0)), "OK");
  EXPECT_EQ(ReasonOf(watcher.End()), "SHUTTING_DOWN");
}

}  // namespace
}  // namespace pylabhub::broker
