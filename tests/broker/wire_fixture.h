// A raw stub against a real broker over mutual TLS, as a client in any language sees it.
#ifndef PYLABHUB_TESTS_BROKER_WIRE_FIXTURE_H_
#define PYLABHUB_TESTS_BROKER_WIRE_FIXTURE_H_

#include <gmock/gmock.h>
#include <grpcpp/client_context.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "proto/google/rpc/error_details.pb.h"
#include "proto/google/rpc/status.pb.h"
#include "proto/pylabhub/v1/broker.grpc.pb.h"
#include "tests/support/test_broker.h"

namespace pylabhub::broker {

// The details of type `Detail` that came with `status`; empty if none did.
template <typename Detail>
Detail DetailIn(const google::rpc::Status& status) {
  Detail detail;
  for (const auto& any : status.details()) {
    if (any.UnpackTo(&detail)) return detail;
  }
  return {};
}
template <typename Detail>
Detail DetailIn(const grpc::Status& status) {
  google::rpc::Status details;
  EXPECT_TRUE(details.ParseFromString(status.error_details()));
  EXPECT_EQ(details.code(), status.error_code());
  return DetailIn<Detail>(details);
}

// ErrorInfo.reason; "OK" for success.
inline std::string ReasonOf(const grpc::Status& status) {
  if (status.ok()) return "OK";
  const auto info = DetailIn<google::rpc::ErrorInfo>(status);
  EXPECT_EQ(info.domain(), "pylabhub") << status.error_message();
  return info.reason();
}

inline const std::string kWireHash(32, 'h');

// A client with an identity and a session.
class WireClient {
 public:
  WireClient(const std::shared_ptr<grpc::Channel>& channel, absl::string_view session_id)
      : stub_(v1::Broker::NewStub(channel)), session_id_(session_id) {}

  struct RegisterResult {
    grpc::Status status;
    v1::RegisterResponse response;
  };
  RegisterResult Register(const std::string& name, const std::string& hash = kWireHash, char segment = 's',
                          bool force = false) {
    v1::RegisterRequest request;
    request.set_session_id(session_id_);
    request.mutable_channel()->set_name(name);
    request.mutable_channel()->set_schema_hash(hash);
    request.mutable_channel()->set_schema_version(3);
    request.mutable_channel()->set_segment_id(std::string(16, segment));
    request.set_force(force);
    return Register(request);
  }
  RegisterResult Register(const v1::RegisterRequest& request) {
    RegisterResult result;
    result.status = Call(&v1::Broker::Stub::Register, request, result.response);
    return result;
  }

  grpc::Status Heartbeat(v1::HeartbeatResponse* response = nullptr) {
    v1::HeartbeatRequest request;
    request.add_sessions()->set_session_id(session_id_);
    v1::HeartbeatResponse ignored;
    return Call(&v1::Broker::Stub::Heartbeat, request, response != nullptr ? *response : ignored);
  }

  grpc::Status Discover(const std::string& name, v1::Channel* channel = nullptr,
                        const std::string& hash = "") {
    v1::DiscoverRequest request;
    request.set_name(name);
    request.set_expected_schema_hash(hash);
    v1::DiscoverResponse response;
    grpc::Status status = Call(&v1::Broker::Stub::Discover, request, response);
    if (channel != nullptr) *channel = response.channel();
    return status;
  }

  grpc::Status Deregister(const std::string& name, uint64_t epoch = 0) {
    v1::DeregisterRequest request;
    request.set_session_id(session_id_);
    request.set_name(name);
    request.set_epoch(epoch);
    v1::DeregisterResponse response;
    return Call(&v1::Broker::Stub::Deregister, request, response);
  }

  grpc::Status Consume(const std::string& name, const std::string& id = "", const std::string& hash = "") {
    v1::ConsumerRegisterRequest request;
    request.set_session_id(session_id_);
    request.set_channel_name(name);
    request.set_consumer_id(id);
    request.set_expected_schema_hash(hash);
    v1::ConsumerRegisterResponse response;
    return Call(&v1::Broker::Stub::ConsumerRegister, request, response);
  }

  grpc::Status StopConsuming(const std::string& name, const std::string& id = "") {
    v1::ConsumerDeregisterRequest request;
    request.set_session_id(session_id_);
    request.set_channel_name(name);
    request.set_consumer_id(id);
    v1::ConsumerDeregisterResponse response;
    return Call(&v1::Broker::Stub::ConsumerDeregister, request, response);
  }

  template <typename Method, typename Request, typename Response>
  grpc::Status Call(Method method, const Request& request, Response& response) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    return ((*stub_).*method)(&context, request, &response);
  }

  v1::Broker::Stub& stub() { return *stub_; }

 private:
  std::unique_ptr<v1::Broker::Stub> stub_;
  std::string session_id_;
};

class WireTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    authority_ = new testing::TestAuthority();
    broker_ = testing::StartTestBroker(*authority_).release();
  }
  static void TearDownTestSuite() {
    delete broker_;
    delete authority_;
  }

  // A channel's name that no other test of this program uses.
  static std::string FreshName() {
    static int count = 0;
    return "channel." + std::to_string(++count);
  }
  static WireClient ClientOf(const std::string& identity) {
    const auto channel = testing::ConnectWith(broker_->target(), authority_->Client(identity));
    return WireClient(channel, "session-of-" + identity);
  }
  // A channel of `producer`'s that can be discovered.
  static std::string MakeReady(WireClient& producer) {
    std::string name = FreshName();
    EXPECT_EQ(ReasonOf(producer.Register(name).status), "OK");
    EXPECT_EQ(ReasonOf(producer.Heartbeat()), "OK");
    return name;
  }

  static testing::TestAuthority* authority_;
  static EmbeddedBroker* broker_;
};

inline testing::TestAuthority* WireTest::authority_ = nullptr;
inline EmbeddedBroker* WireTest::broker_ = nullptr;

}  // namespace pylabhub::broker

#endif  // PYLABHUB_TESTS_BROKER_WIRE_FIXTURE_H_
