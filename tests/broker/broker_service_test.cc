// The wire API's calls and errors, over loopback with mutual TLS.

#include "broker/broker_service.h"

#include "proto/schema/canonical.h"
#include "tests/broker/wire_fixture.h"

namespace pylabhub::broker {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

using BrokerServiceTest = WireTest;

TEST_F(BrokerServiceTest, WhatAProducerRegistersAConsumerDiscovers) {
  WireClient producer = ClientOf("producer");
  WireClient consumer = ClientOf("consumer");
  const std::string name = FreshName();
  v1::RegisterRequest request;
  request.set_session_id("session-of-producer");
  v1::ChannelSpec& spec = *request.mutable_channel();
  spec.set_name(name);
  spec.set_schema_version(3);
  spec.set_segment_id(std::string(16, 's'));
  spec.mutable_schema()->set_name("TempReading");
  spec.set_schema_hash(schema::HashOf(spec.schema()));
  spec.mutable_shared_memory()->set_kind(v1::SHARED_MEMORY_KIND_NAMED);
  spec.mutable_shared_memory()->set_data_name("data.file");
  spec.mutable_shared_memory()->set_control_name("control.file");
  spec.mutable_shared_memory()->set_anchor_name("anchor.file");
  spec.mutable_shared_memory()->set_data_bytes(1 << 20);
  spec.mutable_process()->set_pid(77);
  spec.mutable_process()->set_host("lab1");
  spec.mutable_process()->set_boot_id("boot");
  (*spec.mutable_metadata())["capacity_slots"] = "64";

  const auto registered = producer.Register(request);
  ASSERT_EQ(ReasonOf(registered.status), "OK");
  EXPECT_EQ(registered.response.channel().state(), v1::CHANNEL_STATE_PENDING);
  EXPECT_GT(registered.response.channel().epoch(), 0u);
  EXPECT_EQ(registered.response.lease_ttl().seconds(), 10);
  EXPECT_EQ(registered.response.heartbeat_interval().seconds(), 3);
  EXPECT_EQ(ReasonOf(consumer.Discover(name)), "CHANNEL_NOT_READY");
  ASSERT_EQ(ReasonOf(producer.Heartbeat()), "OK");

  v1::Channel channel;
  ASSERT_EQ(ReasonOf(consumer.Discover(name, &channel)), "OK");
  EXPECT_EQ(channel.state(), v1::CHANNEL_STATE_READY);
  EXPECT_EQ(channel.epoch(), registered.response.channel().epoch());
  EXPECT_EQ(channel.producer_identity(), "producer");
  EXPECT_EQ(channel.consumer_count(), 0u);
  EXPECT_GT(channel.lease_expire_time().seconds(), channel.register_time().seconds());
  spec.clear_schema();
  EXPECT_EQ(channel.spec().DebugString(), spec.DebugString());
}

TEST_F(BrokerServiceTest, TheSchemaComesOnlyWithAnAnswerThatAskedForIt) {
  WireClient client = ClientOf("alice");
  v1::RegisterRequest request;
  request.set_session_id("session-of-alice");
  request.mutable_channel()->set_name(FreshName());
  request.mutable_channel()->set_segment_id(std::string(16, 's'));
  request.mutable_channel()->mutable_schema()->set_name("TempReading");
  request.mutable_channel()->set_schema_hash(schema::HashOf(request.channel().schema()));
  ASSERT_EQ(ReasonOf(client.Register(request).status), "OK");
  ASSERT_EQ(ReasonOf(client.Heartbeat()), "OK");
  v1::DiscoverRequest discover;
  discover.set_name(request.channel().name());
  for (const bool include : {false, true}) {
    discover.set_include_schema(include);
    v1::DiscoverResponse response;
    ASSERT_TRUE(client.Call(&v1::Broker::Stub::Discover, discover, response).ok());
    EXPECT_EQ(response.channel().spec().schema().name(), include ? "TempReading" : "");
  }
}

TEST_F(BrokerServiceTest, ASchemaMismatchComesWithBothHashes) {
  WireClient producer = ClientOf("producer");
  WireClient other = ClientOf("other");
  const std::string name = MakeReady(producer);
  const std::string other_hash(32, 'o');
  std::string hex_actual, hex_expected;
  for (int i = 0; i < 32; ++i) hex_actual += "68", hex_expected += "6f";

  for (const grpc::Status& status :
       {other.Register(name, other_hash).status, other.Discover(name, nullptr, other_hash),
        other.Consume(name, "", other_hash), producer.Register(name, other_hash).status}) {
    EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
    const auto info = DetailIn<google::rpc::ErrorInfo>(status);
    EXPECT_EQ(info.reason(), "SCHEMA_MISMATCH");
    EXPECT_EQ(info.domain(), "pylabhub");
    EXPECT_THAT(
        info.metadata(),
        UnorderedElementsAre(Pair("channel", name), Pair("actual_schema_hash", hex_actual),
                             Pair("expected_schema_hash", hex_expected), Pair("actual_schema_version", "3")));
  }
}

TEST_F(BrokerServiceTest, AnUnknownChannelIsNotFound) {
  WireClient client = ClientOf("alice");
  const grpc::Status status = client.Discover("no.such.channel");
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(ReasonOf(status), "CHANNEL_NOT_FOUND");
  EXPECT_THAT(DetailIn<google::rpc::ErrorInfo>(status).metadata(),
              ElementsAre(Pair("channel", "no.such.channel")));
  EXPECT_GT(DetailIn<google::rpc::RetryInfo>(status).retry_delay().nanos(), 0);
}

TEST_F(BrokerServiceTest, ADeregisteredChannelIsNotFound) {
  WireClient client = ClientOf("alice");
  const std::string name = MakeReady(client);
  EXPECT_EQ(ReasonOf(client.Deregister(name)), "OK");
  EXPECT_EQ(ReasonOf(client.Discover(name)), "CHANNEL_NOT_FOUND");
  EXPECT_EQ(ReasonOf(client.Deregister(name)), "NOT_REGISTERED");
}

TEST_F(BrokerServiceTest, AnotherIdentityCannotDeregisterAChannelEvenWithItsSessionId) {
  WireClient owner = ClientOf("owner");
  WireClient stranger = ClientOf("stranger");
  const std::string name = MakeReady(owner);
  WireClient thief(testing::ConnectWith(broker_->target(), authority_->Client("stranger")),
                   "session-of-owner");
  for (WireClient* client : {&stranger, &thief}) {
    const grpc::Status status = client->Deregister(name);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
    EXPECT_EQ(ReasonOf(status), "NOT_REGISTERED");
  }
  EXPECT_EQ(ReasonOf(thief.Register(FreshName()).status), "SESSION_NOT_YOURS");
  EXPECT_EQ(ReasonOf(thief.Heartbeat()), "SESSION_NOT_YOURS");
  EXPECT_EQ(ReasonOf(owner.Discover(name)), "OK");
}

TEST_F(BrokerServiceTest, ARestartedProducerGetsANewEpochByForceOrIsToldWhoHoldsTheChannel) {
  WireClient producer = ClientOf("producer");
  const std::string name = FreshName();
  const auto first = producer.Register(name, kWireHash, '1');
  WireClient restarted(testing::ConnectWith(broker_->target(), authority_->Client("producer")),
                       "restarted-session");

  const grpc::Status held = restarted.Register(name, kWireHash, '2').status;
  EXPECT_EQ(held.error_code(), grpc::StatusCode::ALREADY_EXISTS);
  EXPECT_EQ(ReasonOf(held), "CHANNEL_HELD");
  EXPECT_EQ(DetailIn<google::rpc::ErrorInfo>(held).metadata().at("holder"), "producer");
  EXPECT_THAT(DetailIn<google::rpc::RetryInfo>(held).retry_delay().seconds(), ::testing::Le(10));

  const auto taken = restarted.Register(name, kWireHash, '2', /*force=*/true);
  ASSERT_EQ(ReasonOf(taken.status), "OK");
  EXPECT_GT(taken.response.channel().epoch(), first.response.channel().epoch());
  EXPECT_EQ(taken.response.channel().predecessor_segment_id(), std::string(16, '1'));
  EXPECT_EQ(ReasonOf(ClientOf("stranger").Register(name, kWireHash, '3', true).status), "FORCE_DENIED");
}

TEST_F(BrokerServiceTest, AnInvalidRequestNamesEachFieldThatIsWrong) {
  WireClient client = ClientOf("alice");
  const grpc::Status status = client.Register("No Such Name", "short").status;
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(ReasonOf(status), "INVALID_REQUEST");
  const auto bad_request = DetailIn<google::rpc::BadRequest>(status);
  ASSERT_EQ(bad_request.field_violations_size(), 2);
  EXPECT_EQ(bad_request.field_violations(0).field(), "channel.name");
  EXPECT_EQ(bad_request.field_violations(1).field(), "channel.schema_hash");
  EXPECT_THAT(status.error_message(), HasSubstr("channel.schema_hash: must be exactly 32 bytes"));
}

// The same for consumers.

TEST_F(BrokerServiceTest, AConsumerRegistersAndIsCountedFromNoneToOneToNone) {
  WireClient producer = ClientOf("producer");
  WireClient consumer = ClientOf("consumer");
  const std::string name = MakeReady(producer);
  const auto count = [&] {
    v1::Channel channel;
    EXPECT_EQ(ReasonOf(consumer.Discover(name, &channel)), "OK");
    return channel.consumer_count();
  };
  EXPECT_EQ(count(), 0u);
  EXPECT_EQ(ReasonOf(consumer.Consume(name)), "OK");
  EXPECT_EQ(count(), 1u);
  EXPECT_EQ(ReasonOf(consumer.StopConsuming(name)), "OK");
  EXPECT_EQ(count(), 0u);
}

TEST_F(BrokerServiceTest, AConsumerOfAnUnknownChannelIsRefused) {
  EXPECT_EQ(ReasonOf(ClientOf("consumer").Consume("no.such.channel")), "CHANNEL_NOT_FOUND");
}

TEST_F(BrokerServiceTest, AConsumerDeregistersOnceOnly) {
  WireClient producer = ClientOf("producer");
  WireClient consumer = ClientOf("consumer");
  const std::string name = MakeReady(producer);
  EXPECT_EQ(ReasonOf(consumer.StopConsuming(name)), "NOT_REGISTERED");
  EXPECT_EQ(ReasonOf(consumer.Consume(name)), "OK");
  EXPECT_EQ(ReasonOf(consumer.StopConsuming(name)), "OK");
  EXPECT_EQ(ReasonOf(consumer.StopConsuming(name)), "NOT_REGISTERED");
}

TEST_F(BrokerServiceTest, AnotherIdentityCannotDeregisterAConsumer) {
  WireClient producer = ClientOf("producer");
  WireClient consumer = ClientOf("consumer");
  const std::string name = MakeReady(producer);
  EXPECT_EQ(ReasonOf(consumer.Consume(name)), "OK");
  WireClient thief(testing::ConnectWith(broker_->target(), authority_->Client("thief")),
                   "session-of-consumer");
  EXPECT_EQ(ReasonOf(thief.StopConsuming(name)), "NOT_REGISTERED");
  EXPECT_EQ(ReasonOf(ClientOf("stranger").StopConsuming(name)), "NOT_REGISTERED");
  v1::Channel channel;
  ASSERT_EQ(ReasonOf(consumer.Discover(name, &channel)), "OK");
  EXPECT_EQ(channel.consumer_count(), 1u);
}

TEST_F(BrokerServiceTest, ABatchAnswersForEachNameByItself) {
  WireClient client = ClientOf("alice");
  const std::string ready = MakeReady(client);
  const std::string pending = FreshName();
  ASSERT_TRUE(client.Register(pending).status.ok());
  v1::DiscoverRequest request;
  for (const std::string& name : {ready, std::string("no.such"), pending, std::string("Bad Name")}) {
    request.add_names(name);
  }
  v1::DiscoverResponse response;
  ASSERT_TRUE(client.Call(&v1::Broker::Stub::Discover, request, response).ok());
  ASSERT_EQ(response.results_size(), 4);
  EXPECT_EQ(response.results(0).channel().spec().name(), ready);
  const char* const reasons[] = {"", "CHANNEL_NOT_FOUND", "CHANNEL_NOT_READY", "INVALID_REQUEST"};
  for (int i = 1; i < 4; ++i) {
    EXPECT_EQ(response.results(i).name(), request.names(i));
    EXPECT_EQ(DetailIn<google::rpc::ErrorInfo>(response.results(i).error()).reason(), reasons[i]);
  }
  EXPECT_GT(response.revision(), 0u);
}

TEST_F(BrokerServiceTest, AnAnswerThatWouldNotFitIsLeftToAnotherCall) {
  WireClient client = ClientOf("alice");
  v1::DiscoverRequest request;
  for (int i = 0; i < 300; ++i) {
    v1::RegisterRequest big;
    big.set_session_id("session-of-alice");
    big.mutable_channel()->set_name("big." + std::to_string(1000 + i));
    big.mutable_channel()->set_schema_hash(kWireHash);
    big.mutable_channel()->set_segment_id(std::string(16, 's'));
    for (const char* key : {"a", "b", "c"})
      (*big.mutable_channel()->mutable_metadata())[key] = std::string(4096, 'v');
    ASSERT_TRUE(client.Register(big).status.ok());
    request.add_names(big.channel().name());
  }
  ASSERT_TRUE(client.Heartbeat().ok());
  v1::DiscoverResponse response;
  ASSERT_TRUE(client.Call(&v1::Broker::Stub::Discover, request, response).ok());
  EXPECT_TRUE(response.results(0).has_channel());
  EXPECT_EQ(DetailIn<google::rpc::ErrorInfo>(response.results(299).error()).reason(), "LIMIT_EXCEEDED");

  // A list is cut into more pages than were asked for.
  v1::ListChannelsRequest list;
  list.set_page_size(1000);
  list.set_name_prefix("big.");
  int listed = 0;
  int pages = 0;
  do {
    v1::ListChannelsResponse page;
    ASSERT_TRUE(client.Call(&v1::Broker::Stub::ListChannels, list, page).ok());
    listed += page.channels_size();
    list.set_page_token(page.next_page_token());
    ++pages;
  } while (!list.page_token().empty());
  EXPECT_EQ(listed, 300);
  EXPECT_EQ(pages, 2);
}

TEST_F(BrokerServiceTest, DiscoverTakesOneNameOrABatchAndNotBoth) {
  WireClient client = ClientOf("alice");
  v1::DiscoverRequest request;
  v1::DiscoverResponse response;
  EXPECT_EQ(ReasonOf(client.Call(&v1::Broker::Stub::Discover, request, response)), "INVALID_REQUEST");
  request.set_name("a");
  request.add_names("b");
  EXPECT_EQ(ReasonOf(client.Call(&v1::Broker::Stub::Discover, request, response)), "INVALID_REQUEST");
}

TEST_F(BrokerServiceTest, AHeartbeatSaysWhatTheBrokerDoesNotKnow) {
  WireClient client = ClientOf("alice");
  v1::HeartbeatRequest request;
  v1::SessionClaims& claims = *request.add_sessions();
  claims.set_session_id("never-seen-before");
  claims.add_channels()->set_name("ghost");
  claims.add_consumers()->set_channel_name("ghost");
  v1::HeartbeatResponse response;
  ASSERT_TRUE(client.Call(&v1::Broker::Stub::Heartbeat, request, response).ok());
  ASSERT_EQ(response.sessions_size(), 1);
  EXPECT_FALSE(response.sessions(0).known());
  ASSERT_EQ(response.sessions(0).lost_channels_size(), 1);
  EXPECT_EQ(response.sessions(0).lost_channels(0).reason(), v1::LOSS_REASON_UNKNOWN_TO_BROKER);
  EXPECT_EQ(response.sessions(0).lost_consumers_size(), 1);
}

TEST_F(BrokerServiceTest, APageTokenThatIsNotOursIsRefused) {
  WireClient client = ClientOf("alice");
  v1::ListChannelsRequest request;
  request.set_page_token("made up");
  v1::ListChannelsResponse response;
  const grpc::Status status = client.Call(&v1::Broker::Stub::ListChannels, request, response);
  EXPECT_EQ(ReasonOf(status), "INVALID_REQUEST");
  EXPECT_EQ(DetailIn<google::rpc::BadRequest>(status).field_violations(0).field(), "page_token");
}

TEST_F(BrokerServiceTest, TheBrokerSaysWhatItIsAndWhoTheCallerIs) {
  WireClient client(
      testing::ConnectWith(broker_->target(), authority_->Client("spiffe://lab.example/sampler")),
      "session-of-sampler");
  v1::GetBrokerInfoRequest request;
  v1::GetBrokerInfoResponse info;
  ASSERT_TRUE(client.Call(&v1::Broker::Stub::GetBrokerInfo, request, info).ok());
  EXPECT_EQ(info.caller_identity(), "spiffe://lab.example/sampler");
  EXPECT_GT(info.caller_certificate_expire_time().seconds(), info.current_time().seconds());
  EXPECT_THAT(info.implemented_methods(), ::testing::Contains("/pylabhub.v1.Broker/Register"));
  EXPECT_THAT(info.implemented_methods(), ::testing::Contains("/pylabhub.v1.Broker/Watch"));
  EXPECT_EQ(info.lease_ttl().seconds(), 10);
  EXPECT_EQ(info.limits().at("consumers_per_channel"), 1024u);
  EXPECT_EQ(info.process().pid(), getpid());
  EXPECT_FALSE(info.broker_id().empty());
}

TEST_F(BrokerServiceTest, AClientOneProtocolVersionAheadIsServedIfItStillSpeaksOurs) {
  WireClient client = ClientOf("alice");
  v1::GetBrokerInfoRequest request;
  v1::GetBrokerInfoResponse info;
  request.set_min_protocol_version(1);
  request.set_max_protocol_version(2);
  EXPECT_EQ(ReasonOf(client.Call(&v1::Broker::Stub::GetBrokerInfo, request, info)), "OK");
  request.set_min_protocol_version(2);
  const grpc::Status status = client.Call(&v1::Broker::Stub::GetBrokerInfo, request, info);
  EXPECT_EQ(ReasonOf(status), "VERSION_UNSUPPORTED");
  EXPECT_EQ(DetailIn<google::rpc::ErrorInfo>(status).metadata().at("max_protocol_version"), "1");
}

}  // namespace
}  // namespace pylabhub::broker
