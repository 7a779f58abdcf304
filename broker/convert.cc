#include "broker/convert.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "broker/validate.h"

// Enumerations are converted by number: their values are the wire's, less what proto3 puts in front.
namespace pylabhub::broker {
namespace {

constexpr char kPageTokenPrefix[] = "after:";
constexpr char kNumberTokenPrefix[] = "number:";
// Enough to find a session in a log, not enough to speak for it.
constexpr size_t kSessionIdPrefixBytes = 8;
// Tag and length of a field on the wire, at most.
constexpr size_t kFieldHeaderBytes = 6;

static_assert(static_cast<int>(MemoryKind::kHandedOver) == v1::SHARED_MEMORY_KIND_HANDED_OVER);
static_assert(static_cast<int>(ChannelState::kClosing) + 1 == v1::CHANNEL_STATE_CLOSING);
static_assert(static_cast<int>(CloseReason::kRevoked) == v1::CLOSE_REASON_REVOKED);
static_assert(static_cast<int>(LossReason::kRevoked) + 1 == v1::LOSS_REASON_REVOKED);

SharedMemory FromProto(const v1::SharedMemory& memory) {
  // A kind from a newer client is kept as unstated: this broker hands nothing over.
  const bool known = memory.kind() <= v1::SHARED_MEMORY_KIND_HANDED_OVER;
  return {.kind = known ? static_cast<MemoryKind>(memory.kind()) : MemoryKind::kUnstated,
          .data_name = memory.data_name(),
          .control_name = memory.control_name(),
          .anchor_name = memory.anchor_name(),
          .data_bytes = memory.data_bytes(),
          .control_bytes = memory.control_bytes()};
}

ProcessInfo FromProto(const v1::ProcessInfo& process) {
  return {.pid = process.pid(),
          .host = process.host(),
          .boot_id = process.boot_id(),
          .shm_device = process.shm_device(),
          .program = process.program()};
}

// Setting a string allocates, also an empty one.
template <typename Message>
void CopyIfAny(const std::string& value, std::string* (Message::*field)(), Message& out) {
  if (!value.empty()) *(out.*field)() = value;
}

void Fill(const SharedMemory& memory, v1::SharedMemory& out) {
  out.set_kind(static_cast<v1::SharedMemoryKind>(memory.kind));
  CopyIfAny(memory.data_name, &v1::SharedMemory::mutable_data_name, out);
  CopyIfAny(memory.control_name, &v1::SharedMemory::mutable_control_name, out);
  CopyIfAny(memory.anchor_name, &v1::SharedMemory::mutable_anchor_name, out);
  out.set_data_bytes(memory.data_bytes);
  out.set_control_bytes(memory.control_bytes);
}

void Fill(const ProcessInfo& process, v1::ProcessInfo& out) {
  out.set_pid(process.pid);
  CopyIfAny(process.host, &v1::ProcessInfo::mutable_host, out);
  CopyIfAny(process.boot_id, &v1::ProcessInfo::mutable_boot_id, out);
  out.set_shm_device(process.shm_device);
  CopyIfAny(process.program, &v1::ProcessInfo::mutable_program, out);
}

void Fill(const ChannelSpec& spec, bool include_schema, v1::ChannelSpec& out) {
  out.set_name(spec.name);
  out.set_schema_hash(spec.schema_hash);
  out.set_schema_version(spec.schema_version);
  if (include_schema && !spec.schema.empty()) out.mutable_schema()->ParseFromString(spec.schema);
  out.set_segment_id(spec.segment_id);
  Fill(spec.shared_memory, *out.mutable_shared_memory());
  Fill(spec.process, *out.mutable_process());
  for (const auto& [key, value] : spec.metadata) (*out.mutable_metadata())[key] = value;
}

}  // namespace

ChannelSpec FromProto(const v1::ChannelSpec& spec) {
  return {.name = spec.name(),
          .schema_hash = spec.schema_hash(),
          .schema_version = spec.schema_version(),
          .schema = spec.has_schema() ? spec.schema().SerializeAsString() : "",
          .segment_id = spec.segment_id(),
          .shared_memory = FromProto(spec.shared_memory()),
          .process = FromProto(spec.process()),
          .metadata = {spec.metadata().begin(), spec.metadata().end()}};
}

ConsumerSpec FromProto(const v1::ConsumerRegisterRequest& request) {
  return {.channel_name = request.channel_name(),
          .consumer_id = request.consumer_id(),
          .expected_schema_hash = request.expected_schema_hash(),
          .group = request.group(),
          .max_held_slots = std::max(request.max_held_slots(), 1u),
          .process = FromProto(request.process())};
}

std::vector<SessionClaims> FromProto(const v1::HeartbeatRequest& request) {
  std::vector<SessionClaims> sessions;
  sessions.reserve(request.sessions_size());
  for (const v1::SessionClaims& claims : request.sessions()) {
    SessionClaims& session = sessions.emplace_back();
    session.session_id = claims.session_id();
    for (const auto& channel : claims.channels())
      session.channels.push_back({channel.name(), channel.epoch()});
    for (const auto& consumer : claims.consumers()) {
      session.consumers.push_back({consumer.channel_name(), consumer.consumer_id()});
    }
  }
  return sessions;
}

v1::Channel ToProto(const ChannelView& channel, bool include_schema) {
  v1::Channel out;
  Fill(*channel.spec, include_schema, *out.mutable_spec());
  out.set_state(static_cast<v1::ChannelState>(static_cast<int>(channel.state) + 1));
  out.set_epoch(channel.epoch);
  out.set_consumer_count(channel.consumer_count);
  out.set_revision(channel.revision);
  out.set_producer_identity(channel.producer_identity);
  *out.mutable_register_time() = ToProto(channel.register_time);
  if (channel.lease_expire_time != absl::InfinitePast()) {
    *out.mutable_lease_expire_time() = ToProto(channel.lease_expire_time);
  }
  out.set_close_reason(static_cast<v1::CloseReason>(channel.close_reason));
  CopyIfAny(channel.predecessor_segment_id, &v1::Channel::mutable_predecessor_segment_id, out);
  return out;
}

v1::Consumer ToProto(const ConsumerView& consumer) {
  v1::Consumer out;
  out.set_channel_name(consumer.spec.channel_name);
  out.set_consumer_id(consumer.spec.consumer_id);
  out.set_identity(consumer.identity);
  out.set_group(consumer.spec.group);
  Fill(consumer.spec.process, *out.mutable_process());
  *out.mutable_register_time() = ToProto(consumer.register_time);
  return out;
}

v1::SessionStatus ToProto(const SessionStatus& status) {
  v1::SessionStatus out;
  out.set_session_id(status.session_id);
  out.set_known(status.known);
  out.set_channel_count(status.channel_count);
  out.set_consumer_count(status.consumer_count);
  for (const LostChannel& lost : status.lost_channels) {
    v1::LostChannel* channel = out.add_lost_channels();
    channel->set_name(lost.claim.name);
    channel->set_epoch(lost.claim.epoch);
    channel->set_reason(static_cast<v1::LossReason>(static_cast<int>(lost.reason) + 1));
  }
  for (const ConsumerClaim& lost : status.lost_consumers) {
    v1::ConsumerClaim* consumer = out.add_lost_consumers();
    consumer->set_channel_name(lost.channel_name);
    consumer->set_consumer_id(lost.consumer_id);
  }
  return out;
}

v1::Session ToProto(const SessionView& session, size_t max_bytes) {
  v1::Session out;
  out.set_session_id_prefix(session.id.substr(0, kSessionIdPrefixBytes));
  out.set_identity(session.identity);
  out.set_peer_address(session.peer_address);
  *out.mutable_create_time() = ToProto(session.create_time);
  *out.mutable_renew_time() = ToProto(session.renew_time);
  *out.mutable_lease_expire_time() = ToProto(session.lease_expire_time);
  size_t bytes = out.ByteSizeLong();
  for (const std::string& name : session.channel_names) {
    bytes += name.size() + kFieldHeaderBytes;
    if (bytes > max_bytes) return out;
    out.add_channel_names(name);
  }
  for (const ConsumerView& consumer : session.consumers) {
    v1::Consumer held = ToProto(consumer);
    bytes += held.ByteSizeLong() + kFieldHeaderBytes;
    if (bytes > max_bytes) return out;
    *out.add_consumers() = std::move(held);
  }
  return out;
}

google::protobuf::Duration ToProto(absl::Duration duration) {
  google::protobuf::Duration out;
  out.set_seconds(absl::IDivDuration(duration, absl::Seconds(1), &duration));
  out.set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(duration)));
  return out;
}

google::protobuf::Timestamp ToProto(absl::Time time) {
  google::protobuf::Timestamp out;
  const int64_t seconds = absl::ToUnixSeconds(time);
  out.set_seconds(seconds);
  out.set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds))));
  return out;
}

std::string PageTokenAfter(absl::string_view name) {
  return absl::WebSafeBase64Escape(absl::StrCat(kPageTokenPrefix, name));
}

std::string NameOfPageToken(absl::string_view token) {
  std::string text;
  if (!absl::WebSafeBase64Unescape(token, &text)) return "";
  absl::string_view name = text;
  if (!absl::ConsumePrefix(&name, kPageTokenPrefix) || !IsChannelName(name)) return "";
  return std::string(name);
}

std::string PageTokenAfter(uint64_t number) {
  return absl::WebSafeBase64Escape(absl::StrCat(kNumberTokenPrefix, number));
}

uint64_t NumberOfPageToken(absl::string_view token) {
  std::string text;
  if (!absl::WebSafeBase64Unescape(token, &text)) return 0;
  absl::string_view digits = text;
  uint64_t number = 0;
  if (!absl::ConsumePrefix(&digits, kNumberTokenPrefix) || !absl::SimpleAtoi(digits, &number)) return 0;
  return number;
}

}  // namespace pylabhub::broker
