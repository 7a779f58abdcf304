// Clients that are one version older or newer than this broker. The older one speaks the frozen wire API without what
// its optional parts are; the newer one sends what this broker has never heard of.
#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/text_format.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/byte_buffer.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "proto/pylabhub/v1/schema_registry.grpc.pb.h"
#include "proto/schema/canonical.h"
#include "tests/broker/wire_fixture.h"
#include "tests/proto/descriptor_set.h"

namespace pylabhub::broker {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptorSet;
using google::protobuf::Message;
using google::protobuf::TextFormat;

// What a client of one version before does not have.
const std::pair<const char*, std::vector<std::string>> kNotYetThere[] = {
    {"RegisterRequest", {"force"}},
    {"RegisterResponse", {"hand_over"}},
    {"ChannelSpec", {"schema_version", "schema", "shared_memory", "process", "metadata"}},
    {"Channel", {"consumer_count", "revision", "predecessor_segment_id", "broker_id", "producer_identity"}},
    {"DiscoverRequest", {"names", "expected_schema_hash", "include_schema", "consistency"}},
    {"DiscoverResponse", {"results", "revision"}},
    {"ConsumerRegisterRequest", {"expected_schema_hash", "group", "max_held_slots", "process"}},
    {"HeartbeatResponse", {"revision"}},
    {"SessionStatus", {"channel_count", "consumer_count"}},
    {"GetBrokerInfoRequest", {"min_protocol_version", "max_protocol_version"}},
    {"GetBrokerInfoResponse", {"limits", "process", "caller_identity", "history_id"}},
};

// The frozen wire API, less what came with the last version if `older`.
FileDescriptorSet Api(bool older) {
  FileDescriptorSet files = testing::FrozenDescriptors();
  if (!older) return files;
  size_t removed = 0;
  size_t listed = 0;
  for (const auto& [message, fields] : kNotYetThere) listed += fields.size();
  for (auto& file : *files.mutable_file()) {
    for (auto& type : *file.mutable_message_type()) {
      for (const auto& [message, fields] : kNotYetThere) {
        for (int i = type.field_size(); i-- > 0 && type.name() == message;) {
          if (std::find(fields.begin(), fields.end(), type.field(i).name()) == fields.end()) continue;
          type.mutable_field()->DeleteSubrange(i, 1);
          ++removed;
        }
      }
    }
  }
  EXPECT_EQ(removed, listed);
  return files;
}

// A client that knows the wire API from descriptors alone.
class DescribedClient {
 public:
  DescribedClient(const FileDescriptorSet& api, std::shared_ptr<grpc::Channel> channel)
      : stub_(std::move(channel)) {
    for (const auto& file : api.file()) EXPECT_NE(pool_.BuildFile(file), nullptr) << file.name();
  }

  struct Answer {
    grpc::Status status;
    std::unique_ptr<Message> message;
  };
  // `request` in text format, in this client's version of it.
  Answer Call(const std::string& method, const std::string& request) {
    const std::string service = "pylabhub.v1.Broker";
    const auto* described = pool_.FindMethodByName(absl::StrCat(service, ".", method));
    const auto message = New(described->input_type());
    EXPECT_TRUE(TextFormat::ParseFromString(request, message.get())) << method << ": " << request;
    grpc::Slice slice(message->SerializeAsString());
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    grpc::CompletionQueue queue;
    const auto call = stub_.PrepareUnaryCall(&context, absl::StrCat("/", service, "/", method),
                                             grpc::ByteBuffer(&slice, 1), &queue);
    call->StartCall();
    grpc::ByteBuffer answer;
    Answer result = {.status = {}, .message = New(described->output_type())};
    call->Finish(&answer, &result.status, this);
    void* tag = nullptr;
    bool ok = false;
    EXPECT_TRUE(queue.Next(&tag, &ok));
    grpc::Slice bytes;
    if (result.status.ok() && answer.DumpToSingleSlice(&bytes).ok()) {
      EXPECT_TRUE(result.message->ParseFromArray(bytes.begin(), static_cast<int>(bytes.size())));
    }
    return result;
  }

 private:
  std::unique_ptr<Message> New(const Descriptor* type) {
    return std::unique_ptr<Message>(factory_.GetPrototype(type)->New());
  }

  google::protobuf::DescriptorPool pool_;
  google::protobuf::DynamicMessageFactory factory_{&pool_};
  grpc::GenericStub stub_;
};

// The value at `path` ("channel.spec.name"), as text; "" where there is none.
std::string At(const Message& message, const std::string& path) {
  const size_t dot = path.find('.');
  const FieldDescriptor* field = message.GetDescriptor()->FindFieldByName(path.substr(0, dot));
  if (field == nullptr) return "";
  const auto* reflection = message.GetReflection();
  if (dot != std::string::npos) return At(reflection->GetMessage(message, field), path.substr(dot + 1));
  if (field->cpp_type() == FieldDescriptor::CPPTYPE_STRING) return reflection->GetString(message, field);
  std::string text;
  TextFormat::PrintFieldValueToString(message, field, -1, &text);
  return text;
}

constexpr char kSixteen[] = "0123456789abcdef";
constexpr char kThirtyTwo[] = "0123456789abcdef0123456789abcdef";

class OtherVersionsTest : public WireTest, public ::testing::WithParamInterface<bool> {
 protected:
  static std::shared_ptr<grpc::Channel> Connect(const std::string& identity) {
    return testing::ConnectWith(broker_->target(), authority_->Client(identity));
  }
};

TEST_P(OtherVersionsTest, AClientOfAnEarlierApiProducesAndConsumes) {
  DescribedClient client(Api(GetParam()), Connect("old"));
  const std::string name = FreshName();
  const std::string session = R"(session_id: "session-of-old" )";
  EXPECT_TRUE(client.Call("GetBrokerInfo", "").status.ok());
  const auto registered =
      client.Call("Register", absl::StrCat(session, "channel { name: '", name, "' schema_hash: '", kThirtyTwo,
                                           "' segment_id: '", kSixteen, "' }"));
  ASSERT_EQ(ReasonOf(registered.status), "OK");
  EXPECT_EQ(At(*registered.message, "channel.state"), "CHANNEL_STATE_PENDING");
  const std::string epoch = At(*registered.message, "channel.epoch");
  const auto renewed = client.Call("Heartbeat", absl::StrCat("sessions { ", session, " channels { name: '",
                                                             name, "' epoch: ", epoch, " } }"));
  ASSERT_EQ(ReasonOf(renewed.status), "OK");
  EXPECT_GT(At(*renewed.message, "heartbeat_interval.seconds"), "0");

  const auto found = client.Call("Discover", absl::StrCat("name: '", name, "'"));
  ASSERT_EQ(ReasonOf(found.status), "OK");
  EXPECT_EQ(At(*found.message, "channel.spec.segment_id"), kSixteen);
  EXPECT_EQ(At(*found.message, "channel.state"), "CHANNEL_STATE_READY");
  EXPECT_EQ(At(*found.message, "channel.epoch"), epoch);
  const std::string consumer = absl::StrCat(session, "channel_name: '", name, "'");
  EXPECT_EQ(ReasonOf(client.Call("ConsumerRegister", consumer).status), "OK");
  EXPECT_EQ(ReasonOf(client.Call("ListChannels", "").status), "OK");
  EXPECT_EQ(ReasonOf(client.Call("ConsumerDeregister", consumer).status), "OK");
  EXPECT_EQ(ReasonOf(client.Call("Deregister", absl::StrCat(session, "name: '", name, "'")).status), "OK");
  EXPECT_EQ(ReasonOf(client.Call("Discover", absl::StrCat("name: '", name, "'")).status),
            "CHANNEL_NOT_FOUND");
}

TEST_P(OtherVersionsTest, AClientOfAnEarlierApiFindsWhatATodaysProducerRegisters) {
  WireClient producer = ClientOf("producer");
  v1::RegisterRequest request;
  request.set_session_id("session-of-producer");
  v1::ChannelSpec& spec = *request.mutable_channel();
  spec.set_name(FreshName());
  spec.mutable_schema()->set_name("bytes");
  spec.set_schema_hash(schema::HashOf(spec.schema()));
  spec.set_segment_id(kSixteen);
  spec.mutable_process()->set_host("lab1");
  (*spec.mutable_metadata())["capacity_slots"] = "64";
  ASSERT_EQ(ReasonOf(producer.Register(request).status), "OK");
  ASSERT_EQ(ReasonOf(producer.Heartbeat()), "OK");

  DescribedClient client(Api(GetParam()), Connect("old"));
  const auto found = client.Call("Discover", absl::StrCat("name: '", spec.name(), "'"));
  ASSERT_EQ(ReasonOf(found.status), "OK");
  EXPECT_EQ(At(*found.message, "channel.spec.name"), spec.name());
  EXPECT_EQ(At(*found.message, "channel.spec.schema_hash"), spec.schema_hash());
  // What the older one does not know is there, and skipped.
  const Message& channel = found.message->GetReflection()->GetMessage(
      *found.message, found.message->GetDescriptor()->FindFieldByName("channel"));
  EXPECT_EQ(!channel.GetReflection()->GetUnknownFields(channel).empty(), GetParam());
}

INSTANTIATE_TEST_SUITE_P(Earlier, OtherVersionsTest, ::testing::Bool(),
                         [](const auto& is_older) { return is_older.param ? "OneVersionOlder" : "Frozen"; });

// Adds fields of every wire type, whose numbers nobody has, to `message` and to all that it holds.
void AddUnknownFields(Message& message) {
  constexpr int kNumber = 10'000;
  auto& unknown = *message.GetReflection()->MutableUnknownFields(&message);
  unknown.AddVarint(kNumber, 1);
  unknown.AddFixed32(kNumber + 1, 2);
  unknown.AddFixed64(kNumber + 2, 3);
  unknown.AddLengthDelimited(kNumber + 3, "from the future");
  std::vector<const FieldDescriptor*> fields;
  message.GetReflection()->ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE || field->is_map()) continue;
    if (!field->is_repeated()) {
      AddUnknownFields(*message.GetReflection()->MutableMessage(&message, field));
      continue;
    }
    for (int i = 0; i < message.GetReflection()->FieldSize(message, field); ++i) {
      AddUnknownFields(*message.GetReflection()->MutableRepeatedMessage(&message, field, i));
    }
  }
}

class NewerClientTest : public WireTest {
 protected:
  template <typename Method, typename Request, typename Response>
  grpc::Status Send(Method method, Request request, Response& response) {
    AddUnknownFields(request);
    return client_.Call(method, request, response);
  }

  v1::RegisterRequest Request(const std::string& name) {
    v1::RegisterRequest request;
    request.set_session_id("session-of-new");
    v1::ChannelSpec& spec = *request.mutable_channel();
    spec.set_name(name);
    spec.mutable_schema()->set_name("Sample");
    spec.mutable_schema()->set_size_bytes(8);
    v1::Field& field = *spec.mutable_schema()->add_fields();
    field.set_name("celsius");
    field.set_type(v1::FIELD_TYPE_FLOAT64);
    field.set_count(1);
    spec.set_schema_hash(schema::HashOf(spec.schema()));
    spec.set_segment_id(kSixteen);
    spec.mutable_process()->set_host("lab1");
    spec.mutable_shared_memory()->set_kind(v1::SHARED_MEMORY_KIND_NAMED);
    return request;
  }

  WireClient client_ = ClientOf("new");
};

TEST_F(NewerClientTest, UnknownFieldsOfRequestsAreIgnored) {
  const std::string name = FreshName();
  v1::RegisterResponse registered;
  ASSERT_EQ(ReasonOf(Send(&v1::Broker::Stub::Register, Request(name), registered)), "OK");
  v1::HeartbeatRequest heartbeat;
  heartbeat.add_sessions()->set_session_id("session-of-new");
  v1::HeartbeatResponse renewed;
  ASSERT_EQ(ReasonOf(Send(&v1::Broker::Stub::Heartbeat, heartbeat, renewed)), "OK");
  v1::DiscoverRequest discover;
  discover.set_name(name);
  discover.set_include_schema(true);
  v1::DiscoverResponse found;
  ASSERT_EQ(ReasonOf(Send(&v1::Broker::Stub::Discover, discover, found)), "OK");
  EXPECT_EQ(found.channel().spec().process().host(), "lab1");
  EXPECT_EQ(found.channel().spec().schema().fields(0).name(), "celsius");
  v1::ConsumerRegisterRequest consume;
  consume.set_session_id("session-of-new");
  consume.set_channel_name(name);
  v1::ConsumerRegisterResponse consumed;
  EXPECT_EQ(ReasonOf(Send(&v1::Broker::Stub::ConsumerRegister, consume, consumed)), "OK");
  v1::ListChannelsResponse listed;
  EXPECT_EQ(ReasonOf(Send(&v1::Broker::Stub::ListChannels, v1::ListChannelsRequest(), listed)), "OK");
  v1::GetBrokerInfoRequest versions;
  versions.set_min_protocol_version(1);
  versions.set_max_protocol_version(2);
  v1::GetBrokerInfoResponse info;
  EXPECT_EQ(ReasonOf(Send(&v1::Broker::Stub::GetBrokerInfo, versions, info)), "OK");
  EXPECT_EQ(info.max_protocol_version(), 1u);
  v1::DeregisterRequest deregister;
  deregister.set_session_id("session-of-new");
  deregister.set_name(name);
  v1::DeregisterResponse deregistered;
  EXPECT_EQ(ReasonOf(Send(&v1::Broker::Stub::Deregister, deregister, deregistered)), "OK");
}

TEST_F(NewerClientTest, AKindOfMemoryThatIsUnknownCountsAsNotStated) {
  const std::string name = FreshName();
  v1::RegisterRequest request = Request(name);
  request.mutable_channel()->mutable_shared_memory()->set_kind(static_cast<v1::SharedMemoryKind>(99));
  ASSERT_EQ(ReasonOf(client_.Register(request).status), "OK");
  ASSERT_EQ(ReasonOf(client_.Heartbeat()), "OK");
  v1::Channel channel;
  ASSERT_EQ(ReasonOf(client_.Discover(name, &channel)), "OK");
  EXPECT_EQ(channel.spec().shared_memory().kind(), v1::SHARED_MEMORY_KIND_UNSPECIFIED);
}

TEST_F(NewerClientTest, AConsistencyThatIsUnknownCountsAsNotStated) {
  const std::string name = MakeReady(client_);
  v1::DiscoverRequest request;
  request.set_name(name);
  request.set_consistency(static_cast<v1::ReadConsistency>(99));
  v1::DiscoverResponse response;
  EXPECT_EQ(ReasonOf(client_.Call(&v1::Broker::Stub::Discover, request, response)), "OK");
}

TEST_F(NewerClientTest, AStateThatIsUnknownCannotBeListed) {
  v1::ListChannelsRequest request;
  request.add_states(static_cast<v1::ChannelState>(99));
  v1::ListChannelsResponse response;
  const grpc::Status status = client_.Call(&v1::Broker::Stub::ListChannels, request, response);
  EXPECT_EQ(ReasonOf(status), "INVALID_REQUEST");
  EXPECT_EQ(DetailIn<google::rpc::BadRequest>(status).field_violations(0).field(), "states");
}

TEST_F(NewerClientTest, ATypeOfFieldThatIsUnknownCannotBeRegisteredAsASchema) {
  const auto stub =
      v1::SchemaRegistry::NewStub(testing::ConnectWith(broker_->target(), authority_->Client("new")));
  v1::RegisterSchemaRequest request;
  request.set_name("from.the.future");
  *request.mutable_schema() = Request("x").channel().schema();
  request.mutable_schema()->mutable_fields(0)->set_type(static_cast<v1::FieldType>(99));
  grpc::ClientContext context;
  v1::RegisterSchemaResponse response;
  const grpc::Status status = stub->RegisterSchema(&context, request, &response);
  EXPECT_EQ(ReasonOf(status), "INVALID_REQUEST");
  EXPECT_EQ(DetailIn<google::rpc::BadRequest>(status).field_violations(0).field(), "schema.fields[0].type");
}

}  // namespace
}  // namespace pylabhub::broker
