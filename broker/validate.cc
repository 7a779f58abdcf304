#include "broker/validate.h"

#include <algorithm>
#include <string>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "broker/refusal.h"

namespace pylabhub::broker {
namespace {

constexpr size_t kMinSessionIdBytes = 8;
constexpr size_t kMaxIdBytes = 64;
constexpr size_t kMaxFileNameBytes = 250;
constexpr size_t kMaxTextBytes = 255;
constexpr size_t kMaxMetadataKeyBytes = 64;
constexpr uint32_t kMaxHeldSlots = 64;

bool IsNameChar(char c) {
  return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '.' || c == '_' || c == '-';
}

bool IsIdChar(char c) { return absl::ascii_isalnum(c) || c == '.' || c == '_' || c == '-'; }

// Collects what is wrong, field by field.
class Checker {
 public:
  void Require(bool holds, absl::string_view field, absl::string_view rule) {
    if (!holds) violations_.push_back({std::string(field), std::string(rule)});
  }

  void ChannelName(absl::string_view field, absl::string_view name) {
    Require(IsChannelName(name), field, "must match [a-z0-9._-]{1,128}, for instance \"sensor.temperature\"");
  }

  void SessionId(absl::string_view field, absl::string_view id) {
    Require(id.size() >= kMinSessionIdBytes && id.size() <= kMaxIdBytes &&
                std::all_of(id.begin(), id.end(), IsIdChar),
            field,
            "must be 8 to 64 of [A-Za-z0-9._-], made at random once in a process, for instance a UUID");
  }

  void Id(absl::string_view field, absl::string_view id) {
    Require(id.size() <= kMaxIdBytes && std::all_of(id.begin(), id.end(), IsIdChar), field,
            "must be at most 64 of [A-Za-z0-9._-]");
  }

  void SchemaHash(absl::string_view field, absl::string_view hash) {
    Require(
        hash.size() == kSchemaHashBytes, field,
        absl::StrCat("must be exactly 32 bytes (SHA-256 of the schema's canonical text), not ", hash.size()));
  }

  void FileName(absl::string_view field, absl::string_view name) {
    Require(name.size() <= kMaxFileNameBytes && name != "." && name != ".." &&
                name.find_first_of(absl::string_view("/\0", 2)) == absl::string_view::npos,
            field, "must be a file name in /dev/shm: at most 250 bytes, no slash, no zero byte");
  }

  void Text(absl::string_view field, absl::string_view text, size_t max_bytes) {
    Require(text.size() <= max_bytes, field,
            absl::StrCat("must be at most ", max_bytes, " bytes, not ", text.size()));
  }

  void Process(absl::string_view field, const ProcessInfo& process) {
    Require(process.pid >= 0, absl::StrCat(field, ".pid"), "must not be negative");
    Text(absl::StrCat(field, ".host"), process.host, kMaxTextBytes);
    Text(absl::StrCat(field, ".boot_id"), process.boot_id, kMaxIdBytes);
    Text(absl::StrCat(field, ".program"), process.program, kMaxTextBytes);
  }

  absl::Status Verdict() const { return RefuseFields(violations_); }

 private:
  std::vector<FieldViolation> violations_;
};

void CheckMetadata(const std::map<std::string, std::string>& metadata, Checker& check) {
  constexpr char kField[] = "channel.metadata";
  size_t total_bytes = 0;
  bool keys_hold = true;
  bool values_hold = true;
  for (const auto& [key, value] : metadata) {
    total_bytes += key.size() + value.size();
    keys_hold = keys_hold && !key.empty() && key.size() <= kMaxMetadataKeyBytes &&
                std::all_of(key.begin(), key.end(), IsNameChar);
    values_hold = values_hold && value.size() <= kMaxMetadataValueBytes;
  }
  check.Require(keys_hold, kField, "keys must match [a-z0-9._-]{1,64}");
  check.Require(values_hold, kField, "a value must be at most 4096 bytes");
  check.Require(metadata.size() <= kMaxMetadataEntries, kField,
                absl::StrCat("must have at most 64 entries, not ", metadata.size()));
  check.Require(total_bytes <= kMaxMetadataBytes, kField,
                absl::StrCat("must be at most 16384 bytes with its keys, not ", total_bytes));
}

}  // namespace

absl::Status ValidateRegister(absl::string_view session_id, const ChannelSpec& spec) {
  Checker check;
  check.SessionId("session_id", session_id);
  check.ChannelName("channel.name", spec.name);
  check.SchemaHash("channel.schema_hash", spec.schema_hash);
  check.Text("channel.schema", spec.schema, kMaxSchemaBytes);
  check.Require(
      spec.segment_id.size() == kSegmentIdBytes, "channel.segment_id",
      absl::StrCat("must be exactly 16 bytes, new at random for each segment, not ", spec.segment_id.size()));
  check.FileName("channel.shared_memory.data_name", spec.shared_memory.data_name);
  check.FileName("channel.shared_memory.control_name", spec.shared_memory.control_name);
  check.FileName("channel.shared_memory.anchor_name", spec.shared_memory.anchor_name);
  check.Process("channel.process", spec.process);
  CheckMetadata(spec.metadata, check);
  return check.Verdict();
}

absl::Status ValidateDiscover(absl::string_view name, absl::string_view expected_schema_hash) {
  Checker check;
  check.ChannelName("name", name);
  if (!expected_schema_hash.empty()) check.SchemaHash("expected_schema_hash", expected_schema_hash);
  return check.Verdict();
}

absl::Status ValidateDeregister(absl::string_view session_id, absl::string_view name) {
  Checker check;
  check.SessionId("session_id", session_id);
  check.ChannelName("name", name);
  return check.Verdict();
}

absl::Status ValidateConsumerRegister(absl::string_view session_id, const ConsumerSpec& spec) {
  Checker check;
  check.SessionId("session_id", session_id);
  check.ChannelName("channel_name", spec.channel_name);
  check.Id("consumer_id", spec.consumer_id);
  if (!spec.expected_schema_hash.empty()) check.SchemaHash("expected_schema_hash", spec.expected_schema_hash);
  check.Id("group", spec.group);
  check.Require(spec.max_held_slots <= kMaxHeldSlots, "max_held_slots", "must be 0 to 64");
  check.Process("process", spec.process);
  return check.Verdict();
}

absl::Status ValidateConsumerDeregister(absl::string_view session_id, absl::string_view channel_name,
                                        absl::string_view consumer_id) {
  Checker check;
  check.SessionId("session_id", session_id);
  check.ChannelName("channel_name", channel_name);
  check.Id("consumer_id", consumer_id);
  return check.Verdict();
}

absl::Status ValidateHeartbeat(const std::vector<SessionClaims>& sessions) {
  Checker check;
  check.Require(!sessions.empty() && sessions.size() <= kMaxSessionsPerHeartbeat, "sessions",
                absl::StrCat("must be 1 to 1000, not ", sessions.size()));
  absl::flat_hash_set<absl::string_view> seen;
  for (size_t i = 0; i < sessions.size(); ++i) {
    const std::string field = absl::StrCat("sessions[", i, "].session_id");
    check.SessionId(field, sessions[i].session_id);
    check.Require(seen.insert(sessions[i].session_id).second, field, "must not stand twice in one request");
  }
  return check.Verdict();
}

}  // namespace pylabhub::broker
