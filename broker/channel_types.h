// What the broker knows of channels, consumers and sessions. Plain values; proto/pylabhub/v1/channel.proto
// says what each means to a caller, and validate.h which ranges hold.
#ifndef PYLABHUB_BROKER_CHANNEL_TYPES_H_
#define PYLABHUB_BROKER_CHANNEL_TYPES_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace pylabhub::broker {

// Who calls, and for which of its sessions.
struct Caller {
  std::string identity;                 // from the client certificate
  std::string session_id;               // as the client made it
  std::string peer_address = {};        // where it calls from, for people
  std::string certificate_serial = {};  // as in proto/tls/identity.h; empty: not stated
  bool may_force = false;               // may take channels by force from other identities too
};

enum class MemoryKind { kUnstated, kNamed, kHandedOver };

struct SharedMemory {
  MemoryKind kind = MemoryKind::kUnstated;
  std::string data_name = {};
  std::string control_name = {};
  std::string anchor_name = {};
  uint64_t data_bytes = 0;
  uint64_t control_bytes = 0;
};

// For people: nothing is decided by it.
struct ProcessInfo {
  int64_t pid = 0;
  std::string host = {};
  std::string boot_id = {};
  uint64_t shm_device = 0;
  std::string program = {};
};

// What a producer states.
struct ChannelSpec {
  std::string name = {};
  std::string schema_hash = {};  // 32 bytes
  uint32_t schema_version = 0;
  std::string schema = {};      // an encoded pylabhub.v1.Schema, kept as it came; empty: not stated
  std::string segment_id = {};  // 16 bytes
  SharedMemory shared_memory = {};
  ProcessInfo process = {};
  std::map<std::string, std::string> metadata = {};
};

enum class ChannelState { kPending, kReady, kClosing };

enum class CloseReason { kNone, kDeregistered, kLeaseExpired, kReplaced, kClosedByAdmin, kRevoked };

// A channel at one moment. Cheap to copy: the spec is shared and never changes.
struct ChannelView {
  std::shared_ptr<const ChannelSpec> spec = nullptr;
  ChannelState state = ChannelState::kPending;
  uint64_t epoch = 0;
  uint32_t consumer_count = 0;
  uint64_t revision = 0;
  std::string producer_identity = {};
  absl::Time register_time = absl::InfinitePast();
  absl::Time lease_expire_time = absl::InfinitePast();
  CloseReason close_reason = CloseReason::kNone;
  std::string predecessor_segment_id = {};
};

// What a consumer states.
struct ConsumerSpec {
  std::string channel_name = {};
  std::string consumer_id = {};
  std::string expected_schema_hash = {};  // 32 bytes, or empty: any
  std::string group = {};
  uint32_t max_held_slots = 1;
  ProcessInfo process = {};
};

// A registered consumer.
struct ConsumerView {
  ConsumerSpec spec = {};
  std::string identity = {};
  absl::Time register_time = absl::InfinitePast();
};

struct ChannelClaim {
  std::string name = {};
  uint64_t epoch = 0;  // 0: whichever the session holds
};

struct ConsumerClaim {
  std::string channel_name = {};
  std::string consumer_id = {};
};

// A session, and what its client believes that it holds.
struct SessionClaims {
  std::string session_id = {};
  std::vector<ChannelClaim> channels = {};
  std::vector<ConsumerClaim> consumers = {};
};

enum class LossReason { kUnknownToBroker, kFenced, kClosedByAdmin, kRevoked };

struct LostChannel {
  ChannelClaim claim = {};
  LossReason reason = LossReason::kUnknownToBroker;
};

// What the broker knows of one session.
struct SessionStatus {
  std::string session_id = {};
  bool known = false;
  std::vector<LostChannel> lost_channels = {};
  std::vector<ConsumerClaim> lost_consumers = {};
  uint32_t channel_count = 0;
  uint32_t consumer_count = 0;
};

enum class EventKind {
  kChannelPending,
  kChannelReady,
  kChannelClosing,
  kChannelRemoved,
  kConsumerJoined,
  kConsumerLeft,
  kSchemaChanged,
};

// Why a consumer is one no more.
enum class LeaveReason { kNone, kDeregistered, kLeaseExpired, kChannelRemoved, kRevoked };

// One change of the directory. Each has its own revision, one more than the change before. Cheap to keep: what
// is large is shared.
struct Event {
  EventKind kind = EventKind::kChannelPending;
  uint64_t revision = 0;
  absl::Time time = absl::InfinitePast();
  ChannelView channel = {};  // after the change
  // kConsumerJoined and kConsumerLeft; else null.
  std::shared_ptr<const ConsumerView> consumer = nullptr;
  LeaveReason leave_reason = LeaveReason::kNone;  // kConsumerLeft
  std::string consumer_session_id = {};           // kConsumerLeft
};

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_CHANNEL_TYPES_H_
