#include "broker/watch_wire.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "broker/convert.h"
#include "broker/refusal.h"
#include "broker/validate.h"
#include "proto/names/name_pattern.h"

namespace pylabhub::broker {
namespace {

// Enough for the events of some seconds of heavy traffic; without them they are encoded again.
constexpr size_t kMaxRememberedBytes = size_t{8} << 20;

// The wire's kinds that are events, from the first to the last.
constexpr int kFirstKind = v1::WATCH_EVENT_KIND_CHANNEL_PENDING;
constexpr int kLastKind = v1::WATCH_EVENT_KIND_SCHEMA_CHANGED;
static_assert(static_cast<int>(EventKind::kChannelPending) == 0);
static_assert(static_cast<int>(EventKind::kSchemaChanged) + kFirstKind == kLastKind);
static_assert(static_cast<int>(LeaveReason::kRevoked) == v1::CONSUMER_LEAVE_REASON_REVOKED);

grpc::Slice ToSlice(const google::protobuf::MessageLite& message) {
  std::string bytes;
  message.SerializeToString(&bytes);
  return grpc::Slice(bytes);
}

}  // namespace

absl::StatusOr<WatchPlan> ReadWatchRequest(const v1::WatchRequest& request) {
  std::vector<FieldViolation> violations;
  if (static_cast<size_t>(request.name_patterns_size()) > kMaxWatchPatterns) {
    violations.push_back({"name_patterns", absl::StrCat("must be at most ", kMaxWatchPatterns)});
  }
  WatchPlan plan = {
      .filter = {.name_patterns = {request.name_patterns().begin(), request.name_patterns().end()},
                 .include_schema = request.include_schema()},
      .snapshot = request.snapshot(),
      .after_revision = request.after_revision(),
      .history_id = request.history_id()};
  for (int i = 0; i < request.name_patterns_size(); ++i) {
    if (names::IsNamePattern(request.name_patterns(i))) continue;
    violations.push_back({absl::StrCat("name_patterns[", i, "]"), "must be 1 to 128 of [a-z0-9._*?-]"});
  }
  if (request.snapshot() && request.after_revision() != 0) {
    violations.push_back({"after_revision", "must be 0 with `snapshot`, which says from where on"});
  }
  if (request.kinds_size() > 0) plan.filter.kinds.emplace();
  for (const int kind : request.kinds()) {
    if (kind == v1::WATCH_EVENT_KIND_UNSPECIFIED) {
      violations.push_back({"kinds", "must not be WATCH_EVENT_KIND_UNSPECIFIED"});
    }
    // Snapshots and bookmarks come in any case, and the kinds of a newer client never.
    if (kind < kFirstKind || kind > kLastKind) continue;
    plan.filter.kinds->push_back(static_cast<EventKind>(kind - kFirstKind));
  }
  if (!violations.empty()) return RefuseFields(violations);
  return plan;
}

v1::WatchEvent ToProto(const Event& event, bool include_schema, bool coalesced) {
  v1::WatchEvent out;
  out.set_kind(static_cast<v1::WatchEventKind>(static_cast<int>(event.kind) + kFirstKind));
  out.set_revision(event.revision);
  *out.mutable_event_time() = ToProto(event.time);
  *out.mutable_channel() = ToProto(event.channel, include_schema);
  if (event.consumer != nullptr) *out.mutable_consumer() = ToProto(*event.consumer);
  out.set_coalesced(coalesced);
  out.set_leave_reason(static_cast<v1::ConsumerLeaveReason>(event.leave_reason));
  return out;
}

v1::WatchEvent SnapshotEvent(ChannelView channel, uint64_t revision, bool include_schema) {
  channel.lease_expire_time = absl::InfinitePast();
  v1::WatchEvent out;
  out.set_kind(v1::WATCH_EVENT_KIND_SNAPSHOT);
  out.set_revision(revision);
  *out.mutable_channel() = ToProto(channel, include_schema);
  return out;
}

v1::WatchEvent SnapshotCompleteEvent(uint64_t revision, absl::Time now) {
  v1::WatchEvent out;
  out.set_kind(v1::WATCH_EVENT_KIND_SNAPSHOT_COMPLETE);
  out.set_revision(revision);
  *out.mutable_event_time() = ToProto(now);
  return out;
}

v1::WatchEvent BookmarkEvent(uint64_t revision, absl::Time now) {
  v1::WatchEvent out = SnapshotCompleteEvent(revision, now);
  out.set_kind(v1::WATCH_EVENT_KIND_BOOKMARK);
  return out;
}

grpc::Slice EventEncoder::Encode(const Event& event, bool include_schema, bool coalesced) {
  const Key key = {event.revision, include_schema, coalesced};
  const std::lock_guard<std::mutex> lock(mutex_);
  if (const auto found = encoded_.find(key); found != encoded_.end()) return found->second;
  grpc::Slice slice = EncodeAlone(ToProto(event, include_schema, coalesced));
  bytes_ += slice.size();
  oldest_first_.push_back(key);
  encoded_.emplace(key, slice);
  while (bytes_ > kMaxRememberedBytes) {
    const auto oldest = encoded_.find(oldest_first_.front());
    bytes_ -= oldest->second.size();
    encoded_.erase(oldest);
    oldest_first_.pop_front();
  }
  return slice;
}

grpc::Slice EncodeAlone(const v1::WatchEvent& event) {
  v1::WatchResponse response;
  *response.add_events() = event;
  return ToSlice(response);
}

grpc::Slice EncodeHistoryId(const std::string& history_id) {
  v1::WatchResponse response;
  response.set_history_id(history_id);
  return ToSlice(response);
}

}  // namespace pylabhub::broker
