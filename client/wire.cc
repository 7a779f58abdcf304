#include "client/wire.h"

#include <google/protobuf/any.pb.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "client/error_reason.h"
#include "proto/google/rpc/error_details.pb.h"
#include "proto/google/rpc/status.pb.h"
#include "proto/schema/canonical.h"
#include "proto/schema/from_text.h"

namespace pylabhub {
namespace {

constexpr char kDomain[] = "pylabhub";
// What a broker takes (schema_bytes in GetBrokerInfoResponse.limits).
constexpr size_t kMaxSchemaBytes = 64 << 10;

absl::Duration FromWire(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

template <typename Response>
LeaseTerms TermsOf(const Response& response) {
  return {.lease_ttl = FromWire(response.lease_ttl()),
          .heartbeat_interval = FromWire(response.heartbeat_interval())};
}

template <typename Bytes>
std::string ToWire(const Bytes& bytes) {
  return std::string(bytes.begin(), bytes.end());
}

// What has another size than it must is left zero: it names no segment and no schema.
template <typename Bytes>
Bytes BytesOf(const std::string& text) {
  Bytes bytes = {};
  if (text.size() == bytes.size()) std::copy(text.begin(), text.end(), bytes.begin());
  return bytes;
}

void ToWire(const ProcessInfo& from, v1::ProcessInfo& to) {
  to.set_pid(from.pid);
  to.set_host(from.host);
  to.set_boot_id(from.boot_id);
  to.set_shm_device(from.shm_device);
  to.set_program(from.program);
}

ProcessInfo FromWire(const v1::ProcessInfo& from) {
  return {.pid = from.pid(),
          .host = from.host(),
          .boot_id = from.boot_id(),
          .shm_device = from.shm_device(),
          .program = from.program()};
}

void ToWire(MemoryKind kind, const SharedMemoryNames& from, v1::SharedMemory& to) {
  if (kind == MemoryKind::kHandedOver) to.set_kind(v1::SHARED_MEMORY_KIND_HANDED_OVER);
  if (kind != MemoryKind::kNamed || from.data_name.empty()) return;
  to.set_kind(v1::SHARED_MEMORY_KIND_NAMED);
  to.set_data_name(from.data_name);
  to.set_control_name(from.control_name);
  to.set_anchor_name(from.anchor_name);
}

// A text that no message can say is left out: the hash stands for it.
void SchemaToWire(const std::string& text, const std::function<v1::Schema*()>& to) {
  if (text.empty()) return;
  absl::StatusOr<v1::Schema> schema = schema::FromCanonicalText(text);
  if (schema.ok() && schema->ByteSizeLong() <= kMaxSchemaBytes) *to() = *std::move(schema);
}

// `Message` has a schema, or may have one.
template <typename Message>
bool HasValidSchema(const Message& from) {
  return from.has_schema() && schema::ViolationsOf(from.schema(), "schema").empty();
}

template <typename Message>
std::string SchemaFromWire(const Message& from) {
  return HasValidSchema(from) ? schema::CanonicalText(from.schema()) : "";
}

template <typename Message>
EnumNames EnumNamesFromWire(const Message& from) {
  EnumNames names;
  if (!HasValidSchema(from)) return names;
  for (const schema::Leaf& leaf : schema::LeavesOf(from.schema())) {
    for (const v1::EnumValue& value : leaf.field->enum_values()) {
      names[leaf.path].emplace_back(value.name(), value.number());
    }
  }
  return names;
}

// The field whose path from here is `path`; null if there is none.
v1::Field* FieldAt(absl::string_view path, google::protobuf::RepeatedPtrField<v1::Field>& fields) {
  for (v1::Field& field : fields) {
    absl::string_view rest = path;
    if (!absl::ConsumePrefix(&rest, field.name())) continue;
    if (rest.empty()) return &field;
    if (!absl::ConsumePrefix(&rest, ".")) continue;
    if (v1::Field* inner = FieldAt(rest, *field.mutable_fields()); inner != nullptr) return inner;
  }
  return nullptr;
}

MemoryKind FromWire(v1::SharedMemoryKind kind) {
  switch (kind) {
    case v1::SHARED_MEMORY_KIND_UNSPECIFIED:
    case v1::SHARED_MEMORY_KIND_NAMED:
      return MemoryKind::kNamed;
    case v1::SHARED_MEMORY_KIND_HANDED_OVER:
      return MemoryKind::kHandedOver;
    default:
      return MemoryKind::kUnknown;
  }
}

HandOver FromWire(const v1::HandOver& from) {
  return {.socket_path = from.socket_path(),
          .ticket = from.ticket(),
          .has_predecessor = from.has_predecessor(),
          .keeps_parts_in_use = from.keeps_parts_in_use()};
}

template <typename Message>
std::optional<HandOver> HandOverIn(const Message& message) {
  return message.has_hand_over() ? std::optional(FromWire(message.hand_over())) : std::nullopt;
}

HandOverTask FromWire(const v1::HandOverTask& from) {
  return {.channel = from.channel_name(),
          .segment_id = BytesOf<SegmentIdBytes>(from.segment_id()),
          .hand_over = HandOverIn(from),
          .deposit_again = from.deposit_again(),
          .retired_parts = {from.retired_parts().begin(), from.retired_parts().end()},
          .move_on = from.move_on(),
          .excepted_parts = {from.excepted_parts().begin(), from.excepted_parts().end()}};
}

// What is left of an enumeration value's name without what all of them begin with; a value that is not known as a number.
std::string ShortName(const std::string& name, absl::string_view prefix, int number) {
  return name.empty() ? absl::StrCat("UNKNOWN_", number) : name.substr(prefix.size());
}

ChannelSpec FromWire(const v1::ChannelSpec& from) {
  return {.name = from.name(),
          .schema_hash = BytesOf<SchemaHashBytes>(from.schema_hash()),
          .schema_version = from.schema_version(),
          .schema_text = SchemaFromWire(from),
          .segment_id = BytesOf<SegmentIdBytes>(from.segment_id()),
          .memory = FromWire(from.shared_memory().kind()),
          .shared_memory = {.data_name = from.shared_memory().data_name(),
                            .control_name = from.shared_memory().control_name(),
                            .anchor_name = from.shared_memory().anchor_name()},
          .metadata = {from.metadata().begin(), from.metadata().end()},
          .process = FromWire(from.process())};
}

ChannelState FromWire(v1::ChannelState state) {
  switch (state) {
    case v1::CHANNEL_STATE_PENDING:
      return ChannelState::kPending;
    case v1::CHANNEL_STATE_READY:
      return ChannelState::kReady;
    case v1::CHANNEL_STATE_CLOSING:
      return ChannelState::kClosing;
    default:
      return ChannelState::kUnknown;
  }
}

CloseReason FromWire(v1::CloseReason reason) {
  switch (reason) {
    case v1::CLOSE_REASON_DEREGISTERED:
      return CloseReason::kDeregistered;
    case v1::CLOSE_REASON_LEASE_EXPIRED:
      return CloseReason::kLeaseExpired;
    case v1::CLOSE_REASON_REPLACED:
      return CloseReason::kReplaced;
    case v1::CLOSE_REASON_CLOSED_BY_ADMIN:
      return CloseReason::kClosedByAdmin;
    case v1::CLOSE_REASON_REVOKED:
      return CloseReason::kRevoked;
    default:
      return CloseReason::kUnknown;
  }
}

WatchEventKind FromWire(v1::WatchEventKind kind) {
  switch (kind) {
    case v1::WATCH_EVENT_KIND_SNAPSHOT:
      return WatchEventKind::kSnapshot;
    case v1::WATCH_EVENT_KIND_SNAPSHOT_COMPLETE:
      return WatchEventKind::kSnapshotComplete;
    case v1::WATCH_EVENT_KIND_BOOKMARK:
      return WatchEventKind::kBookmark;
    case v1::WATCH_EVENT_KIND_CHANNEL_PENDING:
      return WatchEventKind::kChannelPending;
    case v1::WATCH_EVENT_KIND_CHANNEL_READY:
      return WatchEventKind::kChannelReady;
    case v1::WATCH_EVENT_KIND_CHANNEL_CLOSING:
      return WatchEventKind::kChannelClosing;
    case v1::WATCH_EVENT_KIND_CHANNEL_REMOVED:
      return WatchEventKind::kChannelRemoved;
    case v1::WATCH_EVENT_KIND_CONSUMER_JOINED:
      return WatchEventKind::kConsumerJoined;
    case v1::WATCH_EVENT_KIND_CONSUMER_LEFT:
      return WatchEventKind::kConsumerLeft;
    case v1::WATCH_EVENT_KIND_SCHEMA_CHANGED:
      return WatchEventKind::kSchemaChanged;
    default:
      return WatchEventKind::kUnknown;
  }
}

LossReason FromWire(v1::LossReason reason) {
  switch (reason) {
    case v1::LOSS_REASON_FENCED:
      return LossReason::kFenced;
    case v1::LOSS_REASON_CLOSED_BY_ADMIN:
      return LossReason::kClosedByAdmin;
    case v1::LOSS_REASON_REVOKED:
      return LossReason::kRevoked;
    default:
      return LossReason::kUnknownToBroker;
  }
}

// What errors.proto's table lists for ErrorInfo and RetryInfo.
void AttachDetails(const google::rpc::Status& details, absl::Status& status) {
  for (const google::protobuf::Any& detail : details.details()) {
    google::rpc::ErrorInfo info;
    google::rpc::RetryInfo retry;
    if (detail.UnpackTo(&info) && info.domain() == kDomain) {
      SetReason(status, info.reason());
      for (const auto& [key, value] : info.metadata()) SetReasonMetadata(status, key, value);
    } else if (detail.UnpackTo(&retry)) {
      SetRetryDelay(status, FromWire(retry.retry_delay()));
    }
  }
}

}  // namespace

v1::RegisterRequest ToWire(const std::string& session_id, const ChannelSpec& channel, bool force) {
  v1::RegisterRequest request;
  request.set_session_id(session_id);
  request.set_force(force);
  v1::ChannelSpec& spec = *request.mutable_channel();
  spec.set_name(channel.name);
  spec.set_schema_hash(ToWire(channel.schema_hash));
  spec.set_schema_version(channel.schema_version);
  SchemaToWire(channel.schema_text, [&] { return spec.mutable_schema(); });
  spec.set_segment_id(ToWire(channel.segment_id));
  ToWire(channel.memory, channel.shared_memory, *spec.mutable_shared_memory());
  ToWire(channel.process, *spec.mutable_process());
  spec.mutable_metadata()->insert(channel.metadata.begin(), channel.metadata.end());
  return request;
}

v1::ConsumerRegisterRequest ToWire(const std::string& session_id, const ConsumerSpec& consumer) {
  v1::ConsumerRegisterRequest request;
  request.set_session_id(session_id);
  request.set_channel_name(consumer.channel);
  request.set_consumer_id(consumer.consumer_id);
  if (consumer.expected_schema_hash.has_value()) {
    request.set_expected_schema_hash(ToWire(*consumer.expected_schema_hash));
    SchemaToWire(consumer.expected_schema_text, [&] { return request.mutable_expected_schema(); });
  }
  request.set_group(consumer.group);
  request.set_max_held_slots(consumer.max_held_slots);
  ToWire(consumer.process, *request.mutable_process());
  return request;
}

v1::WatchRequest ToWire(const WatchRequest& request) {
  v1::WatchRequest to;
  to.mutable_name_patterns()->Add(request.name_patterns.begin(), request.name_patterns.end());
  to.set_snapshot(request.snapshot);
  to.set_after_revision(request.after_revision);
  to.set_history_id(request.history_id);
  return to;
}

v1::HeartbeatRequest ToWire(const std::string& session_id, const Claims& claims) {
  v1::HeartbeatRequest request;
  v1::SessionClaims& session = *request.add_sessions();
  session.set_session_id(session_id);
  for (const ChannelClaim& claim : claims.channels) {
    v1::ChannelClaim& to = *session.add_channels();
    to.set_name(claim.name);
    to.set_epoch(claim.epoch);
  }
  for (const ConsumerClaim& claim : claims.consumers) {
    v1::ConsumerClaim& to = *session.add_consumers();
    to.set_channel_name(claim.channel);
    to.set_consumer_id(claim.consumer_id);
  }
  return request;
}

absl::StatusOr<v1::RegisterSchemaRequest> ToWire(const std::string& name, const std::string& schema_text,
                                                 const EnumNames& enum_names) {
  absl::StatusOr<v1::Schema> schema = schema::FromCanonicalText(schema_text);
  if (!schema.ok()) return schema.status();
  for (const auto& [path, values] : enum_names) {
    v1::Field* const field = FieldAt(path, *schema->mutable_fields());
    if (field == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("the schema has no field '", path, "' whose values could have names"));
    }
    for (const auto& [value_name, number] : values) {
      v1::EnumValue& value = *field->add_enum_values();
      value.set_name(value_name);
      value.set_number(number);
    }
  }
  v1::RegisterSchemaRequest request;
  request.set_name(name);
  *request.mutable_schema() = *std::move(schema);
  return request;
}

Channel FromWire(const v1::Channel& channel) {
  return {.spec = FromWire(channel.spec()),
          .state = FromWire(channel.state()),
          .epoch = channel.epoch(),
          .consumer_count = channel.consumer_count(),
          .revision = channel.revision(),
          .producer_identity = channel.producer_identity(),
          .close_reason = FromWire(channel.close_reason())};
}

Grant FromWire(const v1::RegisterResponse& response) {
  return {
      .channel = FromWire(response.channel()), .terms = TermsOf(response), .hand_over = HandOverIn(response)};
}

Grant FromWire(const v1::ConsumerRegisterResponse& response) {
  return {
      .channel = FromWire(response.channel()), .terms = TermsOf(response), .hand_over = HandOverIn(response)};
}

BrokerInfo FromWire(const v1::GetBrokerInfoResponse& response) {
  BrokerInfo info = {
      .version = response.version(),
      .min_protocol_version = response.min_protocol_version(),
      .max_protocol_version = response.max_protocol_version(),
      .implemented_methods = {response.implemented_methods().begin(), response.implemented_methods().end()},
      .broker_id = response.broker_id(),
      .terms = TermsOf(response),
      .caller_identity = response.caller_identity(),
      .process = FromWire(response.process()),
      .hand_over_socket_path = response.hand_over_socket_path()};
  if (response.has_caller_certificate_expire_time()) {
    info.caller_certificate_expire_time =
        absl::FromUnixSeconds(response.caller_certificate_expire_time().seconds());
  }
  return info;
}

ChannelPage FromWire(const v1::ListChannelsResponse& response) {
  ChannelPage page = {.next_page_token = response.next_page_token()};
  for (const v1::Channel& channel : response.channels()) page.channels.push_back(FromWire(channel));
  return page;
}

WatchBatch FromWire(const v1::WatchResponse& response) {
  WatchBatch batch = {.history_id = response.history_id()};
  batch.events.reserve(static_cast<size_t>(response.events_size()));
  for (const v1::WatchEvent& event : response.events()) {
    batch.events.push_back({.kind = FromWire(event.kind()),
                            .revision = event.revision(),
                            .channel = FromWire(event.channel()),
                            .coalesced = event.coalesced()});
  }
  return batch;
}

SchemaVersion FromWire(const v1::SchemaVersion& version) {
  return {.name = version.name(),
          .version = version.version(),
          .schema_hash = BytesOf<SchemaHashBytes>(version.schema_hash()),
          .schema_text = SchemaFromWire(version),
          .enum_names = EnumNamesFromWire(version),
          .identity = version.identity(),
          .register_time = absl::FromUnixSeconds(version.register_time().seconds())};
}

SchemaPage FromWire(const v1::ListSchemasResponse& response) {
  SchemaPage page = {.next_page_token = response.next_page_token()};
  for (const v1::SchemaVersion& version : response.schema_versions())
    page.versions.push_back(FromWire(version));
  return page;
}

SchemaComparison FromWire(const v1::CheckSchemaCompatibilityResponse& response) {
  SchemaComparison comparison = {.version = response.compared_with().version(),
                                 .compatibility = ShortName(v1::Compatibility_Name(response.compatibility()),
                                                            "COMPATIBILITY_", response.compatibility())};
  for (const v1::SchemaDifference& from : response.differences()) {
    comparison.differences.push_back({.field_path = from.field_path(),
                                      .kind = ShortName(v1::SchemaDifferenceKind_Name(from.kind()),
                                                        "SCHEMA_DIFFERENCE_KIND_", from.kind()),
                                      .before = from.before(),
                                      .after = from.after()});
  }
  return comparison;
}

HeartbeatReport FromWire(const v1::HeartbeatResponse& response) {
  HeartbeatReport report = {.session_known = false, .terms = TermsOf(response)};
  if (response.sessions().empty()) return report;
  const v1::SessionStatus& session = response.sessions(0);
  report.session_known = session.known();
  for (const v1::LostChannel& lost : session.lost_channels()) {
    report.lost_channels.push_back(
        {.name = lost.name(), .epoch = lost.epoch(), .reason = FromWire(lost.reason())});
  }
  for (const v1::ConsumerClaim& lost : session.lost_consumers()) {
    report.lost_consumers.push_back({.channel = lost.channel_name(), .consumer_id = lost.consumer_id()});
  }
  for (const v1::HandOverTask& task : session.hand_over_tasks()) {
    report.hand_over_tasks.push_back(FromWire(task));
  }
  return report;
}

absl::Status FromWire(const grpc::Status& from) {
  if (from.ok()) return absl::OkStatus();
  absl::Status status(static_cast<absl::StatusCode>(from.error_code()), from.error_message());
  google::rpc::Status details;
  if (details.ParseFromString(from.error_details())) AttachDetails(details, status);
  return status;
}

absl::Status FromWire(const google::rpc::Status& from) {
  if (from.code() == 0) return absl::OkStatus();
  absl::Status status(static_cast<absl::StatusCode>(from.code()), from.message());
  AttachDetails(from, status);
  return status;
}

}  // namespace pylabhub
