#include "client/wire.h"

#include <grpcpp/support/status.h>

#include "client/error_reason.h"
#include "gtest/gtest.h"
#include "proto/google/rpc/error_details.pb.h"
#include "proto/google/rpc/status.pb.h"

namespace pylabhub {
namespace {

TEST(WireTest, ChannelSurvivesTheWayThereAndBack) {
  ChannelSpec spec{.name = "a",
                   .schema_version = 3,
                   .shared_memory = {.data_name = "d", .control_name = "c", .anchor_name = "n"},
                   .metadata = {{"overflow", "block"}},
                   .process = {.pid = 7, .host = "h", .boot_id = "b", .shm_device = 9, .program = "p"}};
  spec.schema_hash.fill(0xab);
  spec.segment_id.fill(0xcd);
  v1::Channel channel;
  *channel.mutable_spec() = ToWire("session-1", spec, false).channel();
  channel.set_state(v1::CHANNEL_STATE_READY);
  channel.set_epoch(4);
  const Channel back = FromWire(channel);
  EXPECT_EQ(back.state, ChannelState::kReady);
  EXPECT_EQ(back.epoch, 4u);
  EXPECT_EQ(back.spec.name, "a");
  EXPECT_EQ(back.spec.schema_hash, spec.schema_hash);
  EXPECT_EQ(back.spec.schema_version, 3u);
  EXPECT_EQ(back.spec.segment_id, spec.segment_id);
  EXPECT_EQ(back.spec.shared_memory.anchor_name, "n");
  EXPECT_EQ(back.spec.metadata, spec.metadata);
  EXPECT_EQ(back.spec.process.boot_id, "b");
}

constexpr char kPoseText[] =
    "pylabhub-schema 1\n"
    "record Pose 16\n"
    "field at.x float64 1 0 m\n"
    "field at.y float64 1 8 m\n";

TEST(WireTest, SchemaTravelsAsAMessageAndComesBackAsItsText) {
  ChannelSpec spec{.name = "a", .schema_text = kPoseText};
  v1::Channel channel;
  *channel.mutable_spec() = ToWire("session-1", spec, false).channel();
  EXPECT_EQ(channel.spec().schema().fields(0).fields(1).name(), "y");
  EXPECT_EQ(FromWire(channel).spec.schema_text, kPoseText);

  ConsumerSpec consumer{.channel = "a", .expected_schema_text = kPoseText};
  EXPECT_FALSE(ToWire("session-1", consumer).has_expected_schema());
  consumer.expected_schema_hash.emplace();
  EXPECT_EQ(ToWire("session-1", consumer).expected_schema().name(), "Pose");
}

TEST(WireTest, NamesOfValuesTravelBesideTheSchemasText) {
  const std::string text =
      "pylabhub-schema 1\nrecord State 16\nfield mode uint8 1 0 \nfield arm.grip int64 1 8 \n";
  const EnumNames names = {{"arm.grip", {{"lost", -1}}}, {"mode", {{"off", 0}, {"on", 1}}}};
  const auto request = ToWire("robot.state", text, names);
  ASSERT_TRUE(request.ok()) << request.status();
  v1::SchemaVersion version;
  *version.mutable_schema() = request->schema();
  EXPECT_EQ(FromWire(version).schema_text, text);
  EXPECT_EQ(FromWire(version).enum_names, names);
  for (const std::string path : {"arm", "arm.", "arm.grip.x", "mod", "modes", ""}) {
    const auto wrong = ToWire("robot.state", text, {{path, {{"a", 0}}}});
    EXPECT_EQ(wrong.ok(), path == "arm") << path;  // a struct, which the broker refuses
  }
}

TEST(WireTest, SchemaThatNoMessageCanSayIsLeftOut) {
  ChannelSpec spec{.name = "a", .schema_text = "pylabhub-schema 1\nrecord A 4\nfield x. int32 1 0 \n"};
  EXPECT_FALSE(ToWire("session-1", spec, false).channel().has_schema());
  v1::Channel channel;
  channel.mutable_spec()->mutable_schema()->set_size_bytes(4);
  EXPECT_EQ(FromWire(channel).spec.schema_text, "");
}

TEST(WireTest, StateAndReasonThatAreUnknownAreTakenAsTheProtocolSays) {
  v1::Channel channel;
  channel.set_state(static_cast<v1::ChannelState>(99));
  EXPECT_EQ(FromWire(channel).state, ChannelState::kUnknown);
  v1::HeartbeatResponse response;
  v1::SessionStatus& session = *response.add_sessions();
  session.set_known(true);
  session.add_lost_channels()->set_reason(static_cast<v1::LossReason>(99));
  EXPECT_EQ(FromWire(response).lost_channels.at(0).reason, LossReason::kUnknownToBroker);
}

TEST(WireTest, HeartbeatAnswerWithoutOurSessionMeansThatItIsUnknown) {
  EXPECT_FALSE(FromWire(v1::HeartbeatResponse()).session_known);
}

TEST(WireTest, HashOfTheWrongSizeIsNoHash) {
  v1::Channel channel;
  channel.mutable_spec()->set_schema_hash("short");
  EXPECT_EQ(FromWire(channel).spec.schema_hash, SchemaHashBytes{});
}

TEST(WireTest, DetailsOfARefusalAreAttached) {
  google::rpc::ErrorInfo info;
  info.set_domain("pylabhub");
  info.set_reason("CHANNEL_HELD");
  (*info.mutable_metadata())["holder"] = "spiffe://lab/other";
  google::rpc::RetryInfo retry;
  retry.mutable_retry_delay()->set_seconds(2);
  google::rpc::Status details;
  details.add_details()->PackFrom(info);
  details.add_details()->PackFrom(retry);
  const absl::Status status =
      FromWire(grpc::Status(grpc::StatusCode::ALREADY_EXISTS, "held", details.SerializeAsString()));
  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(ReasonOf(status), reason::kChannelHeld);
  EXPECT_EQ(ReasonMetadataOf(status, "holder"), "spiffe://lab/other");
  EXPECT_EQ(RetryDelayOf(status), absl::Seconds(2));
}

TEST(WireTest, DetailsOfAnotherDomainAndGarbageAreNoReason) {
  google::rpc::ErrorInfo info;
  info.set_domain("elsewhere");
  info.set_reason("CHANNEL_HELD");
  google::rpc::Status details;
  details.add_details()->PackFrom(info);
  EXPECT_EQ(ReasonOf(FromWire(grpc::Status(grpc::StatusCode::ABORTED, "x", details.SerializeAsString()))),
            "");
  EXPECT_EQ(ReasonOf(FromWire(grpc::Status(grpc::StatusCode::ABORTED, "x", "\xff\xff"))), "");
}

}  // namespace
}  // namespace pylabhub
