// Events of Watch on the wire: each is encoded once, however many watch it.
//
// A WatchResponse's events stand in it one after the other, so a message is put together from encoded events
// that are shared by all streams, and nothing is copied.
#ifndef PYLABHUB_BROKER_WATCH_WIRE_H_
#define PYLABHUB_BROKER_WATCH_WIRE_H_

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <tuple>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "broker/channel_types.h"
#include "broker/watch_hub.h"
#include "proto/pylabhub/v1/broker.pb.h"

namespace pylabhub::broker {

// What a WatchRequest asks for.
struct WatchPlan {
  WatchFilter filter = {};
  bool snapshot = false;
  uint64_t after_revision = 0;  // 0: from now on
  std::string history_id = {};  // empty: not stated
};

// Errors:
//   INVALID_REQUEST  a field breaks its rule
absl::StatusOr<WatchPlan> ReadWatchRequest(const v1::WatchRequest& request);

v1::WatchEvent ToProto(const Event& event, bool include_schema, bool coalesced);
v1::WatchEvent SnapshotEvent(ChannelView channel, uint64_t revision, bool include_schema);
v1::WatchEvent SnapshotCompleteEvent(uint64_t revision, absl::Time now);
v1::WatchEvent BookmarkEvent(uint64_t revision, absl::Time now);

// Encodes events, and remembers the latest that it encoded.
//
// Thread safety: thread-safe.
class EventEncoder {
 public:
  // A WatchResponse with this one event in it, to be joined with others.
  grpc::Slice Encode(const Event& event, bool include_schema, bool coalesced);

 private:
  using Key = std::tuple<uint64_t, bool, bool>;

  std::mutex mutex_;
  absl::flat_hash_map<Key, grpc::Slice> encoded_;  // all under mutex_
  std::deque<Key> oldest_first_;
  size_t bytes_ = 0;
};

// Encodes a WatchResponse with this one event in it, to be joined with others.
grpc::Slice EncodeAlone(const v1::WatchEvent& event);

// Of a WatchResponse with nothing but this in it, to be joined with others.
grpc::Slice EncodeHistoryId(const std::string& history_id);

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_WATCH_WIRE_H_
