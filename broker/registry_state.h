// What a registry is made of, as records that can be kept elsewhere, and how they change.
//
// A record has a key, and is only ever written or removed as a whole: of several changes with one key the last is
// enough. Leases and times of forgetting are no part of it: who restores a registry grants them anew.
#ifndef PYLABHUB_BROKER_REGISTRY_STATE_H_
#define PYLABHUB_BROKER_REGISTRY_STATE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "broker/channel_types.h"

namespace pylabhub::broker {

struct SessionRecord {
  std::string id = {};
  std::string identity = {};
  absl::Time create_time = absl::InfinitePast();
  std::string certificate_serial = {};  // of the certificate that spoke for it last; empty: not known
};

struct ChannelRecord {
  std::shared_ptr<const ChannelSpec> spec = nullptr;  // never null, never changed
  ChannelState state = ChannelState::kPending;
  uint64_t epoch = 0;
  std::string session_id = {};         // the producer's; empty when closing
  std::string producer_identity = {};  // also of the one that held it last, when closing
  absl::Time register_time = absl::InfinitePast();
  CloseReason close_reason = CloseReason::kNone;
  std::string predecessor_segment_id = {};
};

struct ConsumerRecord {
  std::string session_id = {};
  ConsumerView consumer = {};
};

// Which numbers may have been given out, and of what history they are. Both limits stand ahead of what is in use, so that
// after a crash no number is given out twice.
struct HistoryRecord {
  std::string history_id = {};
  uint64_t epoch_limit = 0;     // no epoch above this one was granted
  uint64_t revision_limit = 0;  // no revision above this one was answered
};

// Somebody else's, who alone knows what the bytes say.
struct OpaqueRecord {
  std::string bytes = {};
};

struct RemovedRecord {};

struct Change {
  std::string key = {};
  std::variant<RemovedRecord, SessionRecord, ChannelRecord, ConsumerRecord, HistoryRecord, OpaqueRecord>
      record = {};
};

// In any order.
struct RegistryState {
  std::vector<SessionRecord> sessions = {};
  std::vector<ChannelRecord> channels = {};
  std::vector<ConsumerRecord> consumers = {};
};

constexpr char kHistoryKey[] = "history";
constexpr char kConsumerKeyPrefix[] = "consumer/";

// Keys. No name and no id has a slash in it.
inline std::string SessionKeyOf(absl::string_view session_id) { return absl::StrCat("session/", session_id); }
inline std::string ChannelKeyOf(absl::string_view name) { return absl::StrCat("channel/", name); }
inline std::string ConsumerKeyOf(absl::string_view channel_name, absl::string_view session_id,
                                 absl::string_view consumer_id) {
  return absl::StrCat(kConsumerKeyPrefix, channel_name, "/", session_id, "/", consumer_id);
}
inline std::string SchemaKeyOf(absl::string_view name, uint32_t version) {
  return absl::StrCat("schema/", name, "/", version);
}

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_REGISTRY_STATE_H_
