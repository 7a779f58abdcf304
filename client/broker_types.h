// What a client and a broker say to each other, as plain values. proto/pylabhub/v1/ documents every field
// further.
//
// Thread safety: value types; thread-compatible.
#ifndef PYLABHUB_CLIENT_BROKER_TYPES_H_
#define PYLABHUB_CLIENT_BROKER_TYPES_H_

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"

namespace pylabhub {

// The SHA-256 of a schema's canonical text, and the random name of a segment: the same types as shm's.
using SchemaHashBytes = std::array<uint8_t, 32>;
using SegmentIdBytes = std::array<uint8_t, 16>;

// A process, as it describes itself. Information only.
struct ProcessInfo {
  int64_t pid = 0;
  std::string host = {};
  std::string boot_id = {};
  uint64_t shm_device = 0;
  std::string program = {};
};

// How consumers come to a channel's memory.
enum class MemoryKind {
  kNamed,       // files in /dev/shm, or the producer does not say
  kHandedOver,  // the broker hands it over
  kUnknown,     // of a later version: it cannot be attached to
};

// Where to deposit memory with the broker, or to collect it, and the ticket for that.
struct HandOver {
  std::string socket_path = {};
  std::string ticket = {};
  bool has_predecessor = false;     // to a producer: the broker has what the last one left
  bool keeps_parts_in_use = false;  // to a producer: it wants parts that are in use too
};

// What the broker asks the producer of a channel to do whose memory it hands over. proto/pylabhub/v1/broker.proto says more.
struct HandOverTask {
  std::string channel = {};
  SegmentIdBytes segment_id = {};
  std::optional<HandOver> hand_over = std::nullopt;
  bool deposit_again = false;
  std::vector<uint32_t> retired_parts = {};
  bool move_on = false;
  std::vector<uint32_t> excepted_parts = {};
};

// Where a named channel's memory is: files in /dev/shm, without a slash. All empty: a consumer on the same
// host tries the channel's name.
struct SharedMemoryNames {
  std::string data_name = {};
  std::string control_name = {};
  std::string anchor_name = {};
};

// What a producer states of its channel.
struct ChannelSpec {
  std::string name = {};  // [a-z0-9._-]{1,128}
  SchemaHashBytes schema_hash = {};
  uint32_t schema_version = 0;
  // The schema's canonical text (docs/schema.md), whose hash schema_hash is; empty: not stated. The broker keeps it for
  // tools, and says what differs where another one is expected.
  std::string schema_text = {};
  SegmentIdBytes segment_id = {};
  MemoryKind memory = MemoryKind::kNamed;
  SharedMemoryNames shared_memory = {};  // of kNamed
  std::map<std::string, std::string> metadata = {};
  // Left as it is, the Messenger describes its own process.
  ProcessInfo process = {};
};

enum class ChannelState { kUnknown, kPending, kReady, kClosing };

// Why a channel is closing.
enum class CloseReason { kUnknown, kDeregistered, kLeaseExpired, kReplaced, kClosedByAdmin, kRevoked };

// A channel as the broker knows it.
struct Channel {
  ChannelSpec spec = {};
  ChannelState state = ChannelState::kUnknown;
  uint64_t epoch = 0;
  uint32_t consumer_count = 0;
  uint64_t revision = 0;
  std::string producer_identity = {};
  CloseReason close_reason = CloseReason::kUnknown;  // of one that is closing
};

// What a consumer states of itself.
struct ConsumerSpec {
  std::string channel = {};
  // Tells consumers of one Messenger on one channel apart; may stay empty where there is but one.
  std::string consumer_id = {};
  // Set: refused unless the channel has this schema.
  std::optional<SchemaHashBytes> expected_schema_hash = std::nullopt;
  // The canonical text of that schema, so that a refusal can say what differs; empty: not stated.
  std::string expected_schema_text = {};
  std::string group = {};
  // How many slots it will hold at once, 1 to 64.
  uint32_t max_held_slots = 1;
  ProcessInfo process = {};
};

// How long the broker keeps a lease that is not renewed, and how often it wants to hear.
struct LeaseTerms {
  absl::Duration lease_ttl = absl::ZeroDuration();
  absl::Duration heartbeat_interval = absl::ZeroDuration();
};

// The broker's answer to Register and ConsumerRegister: the channel as it knows it now, and the lease.
struct Grant {
  Channel channel = {};
  LeaseTerms terms = {};
  // Where to deposit or collect, if the channel's memory is handed over.
  std::optional<HandOver> hand_over = std::nullopt;
  // False where there is no broker (Messenger::Local): nobody knows of it, and there is no lease.
  bool is_registered = true;
};

struct ChannelClaim {
  std::string name = {};
  uint64_t epoch = 0;
};

struct ConsumerClaim {
  std::string channel = {};
  std::string consumer_id = {};
  friend bool operator==(const ConsumerClaim&, const ConsumerClaim&) = default;
};

// What a session believes that it holds.
struct Claims {
  std::vector<ChannelClaim> channels = {};
  std::vector<ConsumerClaim> consumers = {};
  bool empty() const { return channels.empty() && consumers.empty(); }
};

enum class LossReason { kUnknownToBroker, kFenced, kClosedByAdmin, kRevoked };

struct LostChannel {
  std::string name = {};
  uint64_t epoch = 0;
  LossReason reason = LossReason::kUnknownToBroker;
};

// The broker's answer to a Heartbeat.
struct HeartbeatReport {
  // False: the broker knows no such session, so nothing that was claimed is held.
  bool session_known = true;
  std::vector<LostChannel> lost_channels = {};
  std::vector<ConsumerClaim> lost_consumers = {};
  std::vector<HandOverTask> hand_over_tasks = {};
  LeaseTerms terms = {};
};

struct BrokerInfo {
  std::string version = {};
  uint32_t min_protocol_version = 0;
  uint32_t max_protocol_version = 0;
  std::vector<std::string> implemented_methods = {};
  std::string broker_id = {};  // another one after every start
  LeaseTerms terms = {};
  std::string caller_identity = {};  // whom the broker takes this client for
  absl::Time caller_certificate_expire_time = absl::InfiniteFuture();
  ProcessInfo process = {};
  std::string hand_over_socket_path = {};  // empty: it hands no memory over
};

// What to watch, and from when on.
struct WatchRequest {
  // Names, where `*` stands for any run of characters and `?` for one; at most 100. None: every channel.
  std::vector<std::string> name_patterns = {};
  // Whether the channels as they are come first.
  bool snapshot = false;
  // Without a snapshot: the events after this revision of this history.
  uint64_t after_revision = 0;
  std::string history_id = {};
};

enum class WatchEventKind {
  kUnknown,  // of a later version: skipped
  kSnapshot,
  kSnapshotComplete,
  kBookmark,
  kChannelPending,
  kChannelReady,
  kChannelClosing,
  kChannelRemoved,
  kConsumerJoined,
  kConsumerLeft,
  kSchemaChanged,
};

struct WatchEvent {
  WatchEventKind kind = WatchEventKind::kUnknown;
  uint64_t revision = 0;
  Channel channel = {};  // after the change; of kSnapshotComplete and kBookmark none
  bool coalesced = false;
};

// What a Watch stream brings at once: events in the order of their revisions.
struct WatchBatch {
  std::vector<WatchEvent> events = {};
  std::string history_id = {};
};

struct ChannelPage {
  std::vector<Channel> channels = {};
  std::string next_page_token = {};  // empty on the last page
};

// The names of integer fields' values, by the field as the canonical text has it, "outer.inner" where it is nested. Of a field
// of uint64 the bits, as two's complement.
using EnumNames = std::map<std::string, std::vector<std::pair<std::string, int64_t>>>;

// A version of a schema, as the broker's registry keeps it.
struct SchemaVersion {
  std::string name = {};
  uint32_t version = 0;
  SchemaHashBytes schema_hash = {};
  std::string schema_text = {};  // canonical; empty where it was not asked for
  EnumNames enum_names = {};     // which the text leaves out
  std::string identity = {};     // who registered it
  absl::Time register_time = absl::InfinitePast();
};

struct SchemaPage {
  std::vector<SchemaVersion> versions = {};
  std::string next_page_token = {};  // empty on the last page
};

struct SchemaDifference {
  std::string field_path = {};  // empty: the record as a whole
  std::string kind = {};        // "UNIT_CHANGED" and so on: SchemaDifferenceKind without its prefix
  std::string before = {};
  std::string after = {};
};

struct SchemaComparison {
  uint32_t version = 0;            // compared with
  std::string compatibility = {};  // "SAME_LAYOUT" and so on: Compatibility without its prefix
  std::vector<SchemaDifference> differences = {};

  // Whether a reader of the registered version reads what is written by the other one, with the same meaning.
  bool compatible() const { return compatibility == "IDENTICAL" || compatibility == "APPENDED"; }
};

}  // namespace pylabhub

#endif  // PYLABHUB_CLIENT_BROKER_TYPES_H_
