#include "broker/store/records.h"

#include <memory>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "broker/store/stored.pb.h"

namespace pylabhub::broker {
namespace {

stored::Process ToStored(const ProcessInfo& info) {
  stored::Process process;
  process.set_pid(info.pid);
  process.set_host(info.host);
  process.set_boot_id(info.boot_id);
  process.set_shm_device(info.shm_device);
  process.set_program(info.program);
  return process;
}

ProcessInfo FromStored(const stored::Process& process) {
  return {.pid = process.pid(),
          .host = process.host(),
          .boot_id = process.boot_id(),
          .shm_device = process.shm_device(),
          .program = process.program()};
}

stored::SharedMemory ToStored(const SharedMemory& shared_memory) {
  stored::SharedMemory memory;
  memory.set_kind(static_cast<int>(shared_memory.kind));
  memory.set_data_name(shared_memory.data_name);
  memory.set_control_name(shared_memory.control_name);
  memory.set_anchor_name(shared_memory.anchor_name);
  memory.set_data_bytes(shared_memory.data_bytes);
  memory.set_control_bytes(shared_memory.control_bytes);
  return memory;
}

SharedMemory FromStored(const stored::SharedMemory& memory) {
  return {.kind = static_cast<MemoryKind>(memory.kind()),
          .data_name = memory.data_name(),
          .control_name = memory.control_name(),
          .anchor_name = memory.anchor_name(),
          .data_bytes = memory.data_bytes(),
          .control_bytes = memory.control_bytes()};
}

std::string Encode(const SessionRecord& record) {
  stored::Session session;
  session.set_id(record.id);
  session.set_identity(record.identity);
  session.set_create_time_unix_ns(ToUnixNanos(record.create_time));
  session.set_certificate_serial(record.certificate_serial);
  return session.SerializeAsString();
}

std::string Encode(const ChannelRecord& record) {
  const ChannelSpec& spec = *record.spec;
  stored::Channel channel;
  channel.set_name(spec.name);
  channel.set_schema_hash(spec.schema_hash);
  channel.set_schema_version(spec.schema_version);
  channel.set_schema(spec.schema);
  channel.set_segment_id(spec.segment_id);
  *channel.mutable_shared_memory() = ToStored(spec.shared_memory);
  *channel.mutable_process() = ToStored(spec.process);
  for (const auto& [key, value] : spec.metadata) (*channel.mutable_metadata())[key] = value;
  channel.set_state(static_cast<int>(record.state));
  channel.set_epoch(record.epoch);
  channel.set_session_id(record.session_id);
  channel.set_producer_identity(record.producer_identity);
  channel.set_register_time_unix_ns(ToUnixNanos(record.register_time));
  channel.set_close_reason(static_cast<int>(record.close_reason));
  channel.set_predecessor_segment_id(record.predecessor_segment_id);
  return channel.SerializeAsString();
}

std::string Encode(const ConsumerRecord& record) {
  const ConsumerSpec& spec = record.consumer.spec;
  stored::Consumer consumer;
  consumer.set_session_id(record.session_id);
  consumer.set_channel_name(spec.channel_name);
  consumer.set_consumer_id(spec.consumer_id);
  consumer.set_expected_schema_hash(spec.expected_schema_hash);
  consumer.set_group(spec.group);
  consumer.set_max_held_slots(spec.max_held_slots);
  *consumer.mutable_process() = ToStored(spec.process);
  consumer.set_identity(record.consumer.identity);
  consumer.set_register_time_unix_ns(ToUnixNanos(record.consumer.register_time));
  return consumer.SerializeAsString();
}

std::string Encode(const HistoryRecord& record) {
  stored::History history;
  history.set_history_id(record.history_id);
  history.set_epoch_limit(record.epoch_limit);
  history.set_revision_limit(record.revision_limit);
  return history.SerializeAsString();
}

std::string Encode(const OpaqueRecord& record) { return record.bytes; }

bool AddSession(const std::string& bytes, RegistryState& state) {
  stored::Session session;
  if (!session.ParseFromString(bytes)) return false;
  state.sessions.push_back({.id = session.id(),
                            .identity = session.identity(),
                            .create_time = absl::FromUnixNanos(session.create_time_unix_ns()),
                            .certificate_serial = session.certificate_serial()});
  return true;
}

bool AddChannel(const std::string& bytes, RegistryState& state) {
  stored::Channel channel;
  if (!channel.ParseFromString(bytes)) return false;
  // A value that a newer broker added means nothing here.
  if (channel.state() < 0 || channel.state() > static_cast<int>(ChannelState::kClosing)) return false;
  if (channel.close_reason() < 0 || channel.close_reason() > static_cast<int>(CloseReason::kRevoked))
    return false;
  auto spec = std::make_shared<ChannelSpec>();
  spec->name = channel.name();
  spec->schema_hash = channel.schema_hash();
  spec->schema_version = channel.schema_version();
  spec->schema = channel.schema();
  spec->segment_id = channel.segment_id();
  spec->shared_memory = FromStored(channel.shared_memory());
  spec->process = FromStored(channel.process());
  spec->metadata = {channel.metadata().begin(), channel.metadata().end()};
  state.channels.push_back({.spec = std::move(spec),
                            .state = static_cast<ChannelState>(channel.state()),
                            .epoch = channel.epoch(),
                            .session_id = channel.session_id(),
                            .producer_identity = channel.producer_identity(),
                            .register_time = absl::FromUnixNanos(channel.register_time_unix_ns()),
                            .close_reason = static_cast<CloseReason>(channel.close_reason()),
                            .predecessor_segment_id = channel.predecessor_segment_id()});
  return true;
}

bool AddConsumer(const std::string& bytes, RegistryState& state) {
  stored::Consumer consumer;
  if (!consumer.ParseFromString(bytes)) return false;
  state.consumers.push_back(
      {.session_id = consumer.session_id(),
       .consumer = {.spec = {.channel_name = consumer.channel_name(),
                             .consumer_id = consumer.consumer_id(),
                             .expected_schema_hash = consumer.expected_schema_hash(),
                             .group = consumer.group(),
                             .max_held_slots = consumer.max_held_slots(),
                             .process = FromStored(consumer.process())},
                    .identity = consumer.identity(),
                    .register_time = absl::FromUnixNanos(consumer.register_time_unix_ns())}});
  return true;
}

bool SetHistory(const std::string& bytes, KeptRecords& kept) {
  stored::History history;
  if (!history.ParseFromString(bytes)) return false;
  kept.history = {.history_id = history.history_id(),
                  .epoch_limit = history.epoch_limit(),
                  .revision_limit = history.revision_limit()};
  return true;
}

bool Add(const std::string& key, std::string bytes, KeptRecords& kept) {
  if (absl::StartsWith(key, SessionKeyOf(""))) return AddSession(bytes, kept.registry);
  if (absl::StartsWith(key, ChannelKeyOf(""))) return AddChannel(bytes, kept.registry);
  if (absl::StartsWith(key, kConsumerKeyPrefix)) return AddConsumer(bytes, kept.registry);
  if (key == kHistoryKey) return SetHistory(bytes, kept);
  kept.opaque.emplace(key, std::move(bytes));
  return true;
}

struct ValueOf {
  std::optional<std::string> operator()(const RemovedRecord&) const { return std::nullopt; }
  template <typename Record>
  std::optional<std::string> operator()(const Record& record) const {
    return Encode(record);
  }
};

}  // namespace

Row ToRow(const Change& change) { return {change.key, std::visit(ValueOf(), change.record)}; }

KeptRecords FromRows(std::vector<Row> rows) {
  KeptRecords kept;
  for (Row& row : rows) {
    if (!row.value.has_value() || !Add(row.key, *std::move(row.value), kept)) {
      kept.unreadable_keys.push_back(row.key);
    }
  }
  return kept;
}

}  // namespace pylabhub::broker
