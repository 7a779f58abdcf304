#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "proto/pylabhub/v1/schema_registry.grpc.pb.h"
#include "proto/schema/canonical.h"
#include "tests/broker/wire_fixture.h"
#include "tests/support/temp_folder.h"

namespace pylabhub::broker {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

v1::Schema TempReading(const std::string& unit = "Cel") {
  v1::Schema schema;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(R"(
      name: "TempReading" size_bytes: 16
      fields { name: "celsius" type: FIELD_TYPE_FLOAT64 count: 1 }
      fields { name: "timestamp_ns" type: FIELD_TYPE_INT64 count: 1 offset_bytes: 8 unit: "ns" })",
                                                            &schema));
  schema.mutable_fields(0)->set_unit(unit);
  return schema;
}

v1::Schema WithHumidity() {
  v1::Schema schema = TempReading();
  schema.set_size_bytes(24);
  v1::Field& field = *schema.add_fields();
  field.set_name("humidity");
  field.set_type(v1::FIELD_TYPE_FLOAT64);
  field.set_count(1);
  field.set_offset_bytes(16);
  return schema;
}

class SchemaRegistryServiceTest : public WireTest {
 protected:
  SchemaRegistryServiceTest() : stub_(StubOf("alice")) {}

  static std::unique_ptr<v1::SchemaRegistry::Stub> StubOf(const std::string& identity) {
    return v1::SchemaRegistry::NewStub(testing::ConnectWith(broker_->target(), authority_->Client(identity)));
  }

  template <typename Method, typename Request, typename Response>
  grpc::Status Call(Method method, const Request& request, Response& response) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    return ((*stub_).*method)(&context, request, &response);
  }

  grpc::Status RegisterSchema(const std::string& name, const v1::Schema& schema,
                              v1::RegisterSchemaResponse* response = nullptr,
                              v1::Compatibility required = v1::COMPATIBILITY_UNSPECIFIED) {
    v1::RegisterSchemaRequest request;
    request.set_name(name);
    *request.mutable_schema() = schema;
    request.set_required_compatibility(required);
    v1::RegisterSchemaResponse ignored;
    return Call(&v1::SchemaRegistry::Stub::RegisterSchema, request,
                response == nullptr ? ignored : *response);
  }

  grpc::Status GetSchema(const v1::GetSchemaRequest& request, v1::SchemaVersion* found = nullptr) {
    v1::GetSchemaResponse response;
    grpc::Status status = Call(&v1::SchemaRegistry::Stub::GetSchema, request, response);
    if (found != nullptr) *found = response.schema_version();
    return status;
  }
  static v1::GetSchemaRequest ByName(const std::string& name, uint32_t version = 0) {
    v1::GetSchemaRequest request;
    request.set_name(name);
    request.set_version(version);
    return request;
  }

  // A producer's request with `schema` and its hash.
  static v1::RegisterRequest RequestWith(const std::string& session_id, const std::string& name,
                                         const v1::Schema& schema) {
    v1::RegisterRequest request;
    request.set_session_id(session_id);
    request.mutable_channel()->set_name(name);
    *request.mutable_channel()->mutable_schema() = schema;
    request.mutable_channel()->set_schema_hash(schema::HashOf(schema));
    request.mutable_channel()->set_segment_id(std::string(16, 's'));
    return request;
  }

  static std::string DifferenceIn(const grpc::Status& status) {
    EXPECT_EQ(ReasonOf(status), "SCHEMA_MISMATCH");
    const auto info = DetailIn<google::rpc::ErrorInfo>(status);
    const auto found = info.metadata().find("difference");
    return found == info.metadata().end() ? "" : found->second;
  }

  std::unique_ptr<v1::SchemaRegistry::Stub> stub_;
};

TEST_F(SchemaRegistryServiceTest, WhatIsRegisteredIsGotByNameByVersionAndByHash) {
  const std::string name = FreshName();
  v1::RegisterSchemaResponse registered;
  ASSERT_EQ(ReasonOf(RegisterSchema(name, TempReading(name), &registered)), "OK");
  EXPECT_TRUE(registered.created());
  EXPECT_EQ(registered.schema_version().version(), 1u);
  EXPECT_EQ(registered.schema_version().identity(), "alice");
  EXPECT_FALSE(registered.schema_version().has_schema());
  ASSERT_EQ(ReasonOf(RegisterSchema(name, TempReading(name), &registered)), "OK");
  EXPECT_FALSE(registered.created());
  ASSERT_EQ(ReasonOf(RegisterSchema(name, WithHumidity(), &registered)), "OK");
  EXPECT_EQ(registered.schema_version().version(), 2u);

  v1::SchemaVersion found;
  ASSERT_EQ(ReasonOf(GetSchema(ByName(name), &found)), "OK");
  EXPECT_EQ(found.version(), 2u);
  ASSERT_EQ(ReasonOf(GetSchema(ByName(name, 1), &found)), "OK");
  EXPECT_EQ(found.schema().SerializeAsString(), TempReading(name).SerializeAsString());
  v1::GetSchemaRequest by_hash;
  by_hash.set_schema_hash(schema::HashOf(TempReading(name)));
  ASSERT_EQ(ReasonOf(GetSchema(by_hash, &found)), "OK");
  EXPECT_EQ(found.name(), name);
  EXPECT_EQ(ReasonOf(GetSchema(ByName(name, 3))), "SCHEMA_NOT_FOUND");
}

TEST_F(SchemaRegistryServiceTest, ACheckListsEveryDifferenceAndChangesNothing) {
  const std::string name = FreshName();
  ASSERT_EQ(ReasonOf(RegisterSchema(name, TempReading())), "OK");
  v1::CheckSchemaCompatibilityRequest request;
  request.set_name(name);
  *request.mutable_schema() = WithHumidity();
  request.mutable_schema()->mutable_fields(0)->set_unit("K");
  v1::CheckSchemaCompatibilityResponse response;
  ASSERT_EQ(ReasonOf(Call(&v1::SchemaRegistry::Stub::CheckSchemaCompatibility, request, response)), "OK");
  EXPECT_EQ(response.compatibility(), v1::COMPATIBILITY_SAME_LAYOUT);
  EXPECT_EQ(response.compared_with().version(), 1u);
  ASSERT_EQ(response.differences_size(), 3);
  EXPECT_EQ(response.differences(0).kind(), v1::SCHEMA_DIFFERENCE_KIND_SIZE_CHANGED);
  EXPECT_EQ(response.differences(1).kind(), v1::SCHEMA_DIFFERENCE_KIND_UNIT_CHANGED);
  EXPECT_EQ(response.differences(1).field_path(), "celsius");
  EXPECT_EQ(response.differences(1).before(), "Cel");
  EXPECT_EQ(response.differences(1).after(), "K");
  EXPECT_EQ(response.differences(2).kind(), v1::SCHEMA_DIFFERENCE_KIND_FIELD_ADDED);
  EXPECT_EQ(ReasonOf(GetSchema(ByName(name, 2))), "SCHEMA_NOT_FOUND");

  *request.mutable_schema() = TempReading();
  ASSERT_EQ(ReasonOf(Call(&v1::SchemaRegistry::Stub::CheckSchemaCompatibility, request, response)), "OK");
  EXPECT_EQ(response.compatibility(), v1::COMPATIBILITY_IDENTICAL);
  request.set_name("nobody.knows");
  EXPECT_EQ(ReasonOf(Call(&v1::SchemaRegistry::Stub::CheckSchemaCompatibility, request, response)),
            "SCHEMA_NOT_FOUND");
}

TEST_F(SchemaRegistryServiceTest, ALessCompatibleVersionThanRequiredIsRefused) {
  const std::string name = FreshName();
  ASSERT_EQ(ReasonOf(RegisterSchema(name, WithHumidity())), "OK");
  const grpc::Status status = RegisterSchema(name, TempReading(), nullptr, v1::COMPATIBILITY_APPENDED);
  EXPECT_EQ(ReasonOf(status), "SCHEMA_INCOMPATIBLE");
  EXPECT_THAT(status.error_message(), HasSubstr(R"("humidity" (float64 at byte 16) was removed)"));
}

TEST_F(SchemaRegistryServiceTest, PagesListEveryNameOnceAndEveryVersionOfOne) {
  const std::string prefix = "listed." + FreshName();
  for (const char* suffix : {".c", ".a", ".b"})
    ASSERT_TRUE(RegisterSchema(prefix + suffix, TempReading()).ok());
  for (const char* unit : {"K", "mK", "uK"})
    ASSERT_TRUE(RegisterSchema(prefix + ".b", TempReading(unit)).ok());
  const auto list = [&](const std::string& name) {
    std::vector<std::string> listed;
    v1::ListSchemasRequest request;
    request.set_name(name);
    request.set_page_size(1);
    v1::ListSchemasResponse response;
    do {
      EXPECT_EQ(ReasonOf(Call(&v1::SchemaRegistry::Stub::ListSchemas, request, response)), "OK");
      EXPECT_LE(response.schema_versions_size(), 1);
      for (const auto& version : response.schema_versions()) {
        if (version.name().rfind(prefix, 0) != 0) continue;
        EXPECT_FALSE(version.has_schema());
        listed.push_back(version.name().substr(prefix.size()) + "/" + std::to_string(version.version()));
      }
      request.set_page_token(response.next_page_token());
    } while (!request.page_token().empty());
    return listed;
  };
  EXPECT_THAT(list(""), ElementsAre(".a/1", ".b/4", ".c/1"));
  EXPECT_THAT(list(prefix + ".b"), ElementsAre(".b/1", ".b/2", ".b/3", ".b/4"));
}

TEST_F(SchemaRegistryServiceTest, WhatBreaksARuleIsNamed) {
  const auto field_of = [](const grpc::Status& status) {
    EXPECT_EQ(ReasonOf(status), "INVALID_REQUEST");
    return DetailIn<google::rpc::BadRequest>(status).field_violations(0).field();
  };
  EXPECT_EQ(field_of(RegisterSchema("BAD NAME", TempReading())), "name");
  EXPECT_EQ(field_of(RegisterSchema("a", v1::Schema())), "schema.name");
  v1::RegisterSchemaRequest request;
  request.set_name("a");
  *request.mutable_schema() = TempReading();
  request.set_schema_hash(std::string(32, 'x'));
  v1::RegisterSchemaResponse response;
  EXPECT_EQ(field_of(Call(&v1::SchemaRegistry::Stub::RegisterSchema, request, response)), "schema_hash");
  request.clear_schema_hash();
  request.set_required_compatibility(static_cast<v1::Compatibility>(99));
  EXPECT_EQ(field_of(Call(&v1::SchemaRegistry::Stub::RegisterSchema, request, response)),
            "required_compatibility");
  EXPECT_EQ(field_of(GetSchema({})), "name");
  v1::GetSchemaRequest short_hash;
  short_hash.set_schema_hash("short");
  EXPECT_EQ(field_of(GetSchema(short_hash)), "schema_hash");
  v1::ListSchemasRequest list;
  list.set_page_token("not ours");
  v1::ListSchemasResponse listed;
  EXPECT_EQ(field_of(Call(&v1::SchemaRegistry::Stub::ListSchemas, list, listed)), "page_token");
}

TEST_F(SchemaRegistryServiceTest, AChannelsSchemaIsRegisteredUnderItsNameAndItsVersionFilledIn) {
  WireClient producer = ClientOf("producer");
  const std::string name = FreshName();
  auto request = RequestWith("session-of-producer", name, TempReading());
  const auto first = producer.Register(request);
  ASSERT_EQ(ReasonOf(first.status), "OK");
  EXPECT_EQ(first.response.channel().spec().schema_version(), 1u);
  v1::SchemaVersion found;
  ASSERT_EQ(ReasonOf(GetSchema(ByName(name), &found)), "OK");
  EXPECT_EQ(found.schema_hash(), schema::HashOf(TempReading()));
  EXPECT_EQ(found.identity(), "producer");

  ASSERT_EQ(ReasonOf(producer.Deregister(name)), "OK");
  const auto second = producer.Register(RequestWith("session-of-producer", name, WithHumidity()));
  EXPECT_EQ(second.response.channel().spec().schema_version(), 2u);
  ASSERT_EQ(ReasonOf(producer.Deregister(name)), "OK");
  request.mutable_channel()->set_schema_version(77);
  EXPECT_EQ(producer.Register(request).response.channel().spec().schema_version(), 77u);
}

TEST_F(SchemaRegistryServiceTest, ASchemaThatIsNotTheOneWithTheStatedHashIsRefused) {
  WireClient producer = ClientOf("producer");
  const std::string name = FreshName();
  auto request = RequestWith("session-of-producer", name, TempReading());
  request.mutable_channel()->set_schema_hash(schema::HashOf(WithHumidity()));
  const grpc::Status status = producer.Register(request).status;
  EXPECT_EQ(ReasonOf(status), "INVALID_REQUEST");
  EXPECT_EQ(DetailIn<google::rpc::BadRequest>(status).field_violations(0).field(), "channel.schema_hash");
  EXPECT_EQ(ReasonOf(producer.Discover(name)), "CHANNEL_NOT_FOUND");
  EXPECT_EQ(ReasonOf(GetSchema(ByName(name))), "SCHEMA_NOT_FOUND");
}

TEST_F(SchemaRegistryServiceTest, ARefusedRegistrationLeavesNoSchema) {
  WireClient producer = ClientOf("producer");
  WireClient other = ClientOf("other");
  const std::string name = FreshName();
  ASSERT_EQ(ReasonOf(producer.Register(RequestWith("session-of-producer", name, TempReading())).status),
            "OK");
  EXPECT_EQ(ReasonOf(other.Register(RequestWith("session-of-other", name, WithHumidity())).status),
            "SCHEMA_MISMATCH");
  EXPECT_EQ(ReasonOf(GetSchema(ByName(name, 2))), "SCHEMA_NOT_FOUND");
}

TEST_F(SchemaRegistryServiceTest, AMismatchSaysInWordsWhatDiffers) {
  WireClient producer = ClientOf("producer");
  WireClient other = ClientOf("other");
  const std::string name = FreshName();
  ASSERT_EQ(ReasonOf(producer.Register(RequestWith("session-of-producer", name, TempReading("degC"))).status),
            "OK");
  ASSERT_EQ(ReasonOf(producer.Heartbeat()), "OK");
  const v1::Schema expected = TempReading("degF");
  const std::string words = R"(field 1 "celsius": unit is "degC", expected "degF")";

  // What a producer expects comes with its request.
  EXPECT_EQ(DifferenceIn(other.Register(RequestWith("session-of-other", name, expected)).status), words);
  // A consumer may say what it expects, too. If it states only a hash, that may be nobody's.
  const std::string hash = schema::HashOf(expected);
  EXPECT_EQ(DifferenceIn(other.Discover(name, nullptr, hash)), "");
  v1::ConsumerRegisterRequest consume;
  consume.set_session_id("session-of-other");
  consume.set_channel_name(name);
  consume.set_expected_schema_hash(hash);
  *consume.mutable_expected_schema() = expected;
  v1::ConsumerRegisterResponse consumed;
  EXPECT_EQ(DifferenceIn(other.Call(&v1::Broker::Stub::ConsumerRegister, consume, consumed)), words);
  consume.clear_expected_schema_hash();
  EXPECT_EQ(ReasonOf(other.Call(&v1::Broker::Stub::ConsumerRegister, consume, consumed)), "INVALID_REQUEST");
  ASSERT_EQ(ReasonOf(RegisterSchema(FreshName(), expected)), "OK");
  const grpc::Status discovered = other.Discover(name, nullptr, hash);
  EXPECT_EQ(DifferenceIn(discovered), words);
  EXPECT_THAT(discovered.error_message(), HasSubstr(words));
  EXPECT_EQ(DifferenceIn(other.Consume(name, "", hash)), words);

  v1::DiscoverRequest batch;
  batch.add_names(name);
  *batch.mutable_expected_schema() = expected;
  batch.set_expected_schema_hash(hash);
  v1::DiscoverResponse response;
  ASSERT_TRUE(other.Call(&v1::Broker::Stub::Discover, batch, response).ok());
  const auto info = DetailIn<google::rpc::ErrorInfo>(response.results(0).error());
  EXPECT_EQ(info.metadata().at("difference"), words);
}

TEST_F(SchemaRegistryServiceTest, ASchemaOfANewerClientWithATypeUnknownHereIsPassedOnAndNotJudged) {
  WireClient producer = ClientOf("producer");
  const std::string name = FreshName();
  auto request = RequestWith("session-of-producer", name, TempReading());
  request.mutable_channel()->mutable_schema()->mutable_fields(0)->set_type(static_cast<v1::FieldType>(99));
  ASSERT_EQ(ReasonOf(producer.Register(request).status), "OK");
  ASSERT_EQ(ReasonOf(producer.Heartbeat()), "OK");
  EXPECT_EQ(ReasonOf(GetSchema(ByName(name))), "SCHEMA_NOT_FOUND");
  v1::DiscoverRequest discover;
  discover.set_name(name);
  discover.set_include_schema(true);
  v1::DiscoverResponse response;
  ASSERT_TRUE(producer.Call(&v1::Broker::Stub::Discover, discover, response).ok());
  EXPECT_EQ(response.channel().spec().schema().fields(0).type(), 99);
}

TEST(SchemaRegistryStoreTest, AChannelsSchemaIsThereAfterTheBrokerIsStartedAnew) {
  const testing::TestAuthority authority;
  const testing::TempFolder folder;
  BrokerOptions options;
  options.store_folder = folder / "store";
  v1::RegisterRequest request;
  request.set_session_id("session-of-alice");
  request.mutable_channel()->set_name("a");
  *request.mutable_channel()->mutable_schema() = TempReading();
  request.mutable_channel()->set_schema_hash(schema::HashOf(TempReading()));
  request.mutable_channel()->set_segment_id(std::string(16, 's'));
  {
    const auto broker = testing::StartTestBroker(authority, options);
    WireClient producer(testing::ConnectWith(broker->target(), authority.Client("alice")),
                        "session-of-alice");
    ASSERT_EQ(ReasonOf(producer.Register(request).status), "OK");
  }
  const auto broker = testing::StartTestBroker(authority, options);
  const auto stub =
      v1::SchemaRegistry::NewStub(testing::ConnectWith(broker->target(), authority.Client("alice")));
  v1::GetSchemaRequest get;
  get.set_name("a");
  v1::GetSchemaResponse response;
  grpc::ClientContext context;
  ASSERT_EQ(ReasonOf(stub->GetSchema(&context, get, &response)), "OK");
  EXPECT_EQ(response.schema_version().version(), 1u);
  EXPECT_EQ(response.schema_version().schema().SerializeAsString(), TempReading().SerializeAsString());
}

TEST(SchemaRegistryLimitTest, AChannelWhoseSchemaNobodyKeepsIsRegisteredAllTheSame) {
  const testing::TestAuthority authority;
  BrokerOptions options;
  options.registry.limits.max_schemas = 0;
  const auto broker = testing::StartTestBroker(authority, std::move(options));
  WireClient producer(testing::ConnectWith(broker->target(), authority.Client("alice")), "session-of-alice");
  v1::RegisterRequest request;
  request.set_session_id("session-of-alice");
  request.mutable_channel()->set_name("a");
  *request.mutable_channel()->mutable_schema() = TempReading();
  request.mutable_channel()->set_schema_hash(schema::HashOf(TempReading()));
  request.mutable_channel()->set_segment_id(std::string(16, 's'));
  const auto registered = producer.Register(request);
  EXPECT_EQ(ReasonOf(registered.status), "OK");
  EXPECT_EQ(registered.response.channel().spec().schema_version(), 0u);
}

}  // namespace
}  // namespace pylabhub::broker
