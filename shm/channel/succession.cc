#include "shm/channel/succession.h"

#include <algorithm>
#include <utility>

#include "absl/time/time.h"
#include "shm/channel/anchor.h"
#include "shm/channel/named_segment.h"
#include "shm/os/crash_point.h"
#include "shm/os/kernel_lock.h"
#include "shm/read_order.h"

namespace pylabhub::shm {
namespace {

// Producers that came and went while a consumer stayed behind; more than these are not looked for.
constexpr size_t kMaxChain = 64;

bool IsLockedByAnybody(const std::string& path) {
  const absl::StatusOr<UniqueFd> fd = OpenChannelFile(path, Access::kReadOnly);
  if (absl::IsNotFound(fd.status())) return false;
  return !fd.ok() || AnyByteIsLocked(fd->get());
}

bool HasLivingHeir(const ChannelFiles& files, const OpenedSegment& segment) {
  const std::span<const PlaceRecord> places = segment.data_view.places();
  const bool keeps_places = std::any_of(places.begin(), places.end(), [](const PlaceRecord& place) {
    return place.Expected() != kNotReserved;
  });
  if (!keeps_places) return false;
  const absl::StatusOr<Succession> before = Succession::Of(files, segment.data_view.predecessor_id);
  if (!before.ok()) return true;
  return std::any_of(before->heirs().begin(), before->heirs().end(), [&](const Succession::Heir& heir) {
    return heir.place < places.size() && places[heir.place].Expected() == heir.token;
  });
}

}  // namespace

absl::StatusOr<Succession> Succession::Of(const ChannelFiles& files, const SegmentId& newest_id) {
  std::vector<OpenedSegment> segments;
  for (SegmentId id = newest_id; !id.is_nil() && segments.size() < kMaxChain;) {
    absl::StatusOr<OpenedSegment> segment = OpenNamedSegment(files, id, Access::kReadOnly);
    if (IsMissingOrDamaged(segment.status())) break;
    if (!segment.ok()) return segment.status();
    id = segment->data_view.predecessor_id;
    segments.push_back(*std::move(segment));
  }
  std::reverse(segments.begin(), segments.end());
  return Of(std::move(segments));
}

Succession Succession::Of(std::vector<OpenedSegment> segments) {
  Succession succession;
  succession.segments_ = std::move(segments);
  for (size_t i = 0; i < succession.segments_.size(); ++i) succession.AddAttached(i);
  return succession;
}

Succession Succession::And(OpenedSegment newest, const std::vector<uint32_t>& excepted_places) && {
  segments_.push_back(std::move(newest));
  Succession succession = Of(std::move(segments_));
  std::erase_if(succession.heirs_, [&](const Heir& heir) {
    return std::find(excepted_places.begin(), excepted_places.end(), heir.place) != excepted_places.end();
  });
  return succession;
}

void Succession::AddAttached(size_t segment) {
  for (const ControlPart& part : segments_[segment].control.parts) {
    for (uint32_t place = part.view.first_place(); place < part.view.end_place(); ++place) {
      if (part.ConsumerLives(place)) AddHeir(segment, place, part.view.entry(place));
    }
  }
}

void Succession::AddHeir(size_t segment, uint32_t place, const ConsumerEntry& entry) {
  const uint64_t token = entry.token.load(std::memory_order_relaxed);
  // A consumer that holds its lock but has not written its token has not read anything yet: it has nothing to lose.
  if (token <= kReservationTaken) return;
  const auto known =
      std::find_if(heirs_.begin(), heirs_.end(), [&](const Heir& heir) { return heir.place == place; });
  if (known != heirs_.end() && known->token == token) return;
  // One place cannot be kept for two: the newer segment's consumer has it.
  if (known != heirs_.end()) heirs_.erase(known);
  const bool waited_for =
      entry.order.load(std::memory_order_relaxed) == static_cast<uint32_t>(ReadOrder::kNext);
  heirs_.push_back({.place = place, .token = token, .waited_for = waited_for, .segment = segment});
}

bool Succession::HeirLives(const Heir& heir) const {
  return std::any_of(segments_.begin() + static_cast<ptrdiff_t>(heir.segment), segments_.end(),
                     [&](const OpenedSegment& segment) { return segment.ConsumerLives(heir.place); });
}

absl::StatusOr<SegmentId> SuccessorOf(const ChannelFiles& files, const SegmentId& segment_id,
                                      const SegmentId& current) {
  SegmentId id = current;
  for (size_t i = 0; i < kMaxChain; ++i) {
    const absl::StatusOr<OpenedSegment> segment = OpenNamedSegment(files, id, Access::kReadOnly);
    if (IsMissingOrDamaged(segment.status())) return current;
    if (!segment.ok()) return segment.status();
    if (segment->data_view.predecessor_id.is_nil()) return current;
    if (segment->data_view.predecessor_id == segment_id) return id;
    id = segment->data_view.predecessor_id;
  }
  return current;
}

size_t CountUndrainedSegments(const ChannelFiles& files) {
  const std::vector<SegmentId> ids = files.ListSegments();
  return static_cast<size_t>(std::count_if(ids.begin(), ids.end(), [&](const SegmentId& id) {
    const absl::StatusOr<OpenedSegment> segment = OpenNamedSegment(files, id, Access::kReadOnly);
    return segment.ok() && !segment->ProducerLives() && !segment->IsDrained();
  }));
}

SegmentId FirstUndrainedSegment(
    const ChannelFiles& files, const SegmentId& segment_id,
    const std::function<std::optional<uint32_t>(const ChannelConfig&)>& group_in) {
  SegmentId first = segment_id;
  absl::Time first_created = absl::InfiniteFuture();
  // Not along the chain of predecessors: one of those that lie between may be drained, and gone.
  for (const SegmentId& id : files.ListSegments()) {
    const absl::StatusOr<OpenedSegment> segment = OpenNamedSegment(files, id, Access::kReadOnly);
    if (!segment.ok() || segment->data_view.created >= first_created || segment->ProducerLives()) continue;
    const std::optional<uint32_t> group = group_in(segment->data_view.config);
    if (!group.has_value() || segment->CountUndone(*group) == 0) continue;
    first = id;
    first_created = segment->data_view.created;
  }
  return first;
}

bool IsAbandoned(const ChannelFiles& files, const SegmentId& segment_id) {
  const absl::StatusOr<OpenedSegment> segment = OpenNamedSegment(files, segment_id, Access::kReadOnly);
  // Heirs before consumers: who moves attaches here before it leaves there.
  if (segment.ok()) {
    return !segment->ProducerLives() && segment->IsDrained() && !HasLivingHeir(files, *segment) &&
           segment->CountLivingConsumers() == 0;
  }
  return IsMissingOrDamaged(segment.status()) && !IsLockedByAnybody(files.DataPath(segment_id)) &&
         !IsLockedByAnybody(files.ControlPath(segment_id));
}

void LeaveChannel(const ChannelFiles& files, const SegmentId& segment_id) {
  const absl::StatusOr<Anchor> turn = Anchor::TakeTurn(files);
  if (!turn.ok()) return;
  PYLABHUB_CRASH_POINT("channel.leave.turn_taken");
  if (IsAbandoned(files, segment_id)) files.RemoveSegment(segment_id);
  PYLABHUB_CRASH_POINT("channel.leave.segment_looked_at");
  // While a producer is there, a segment that looks abandoned may be the one that it is just creating.
  if (!turn->TryLockAsProducer()) return;
  PYLABHUB_CRASH_POINT("channel.leave.locked_as_producer");
  for (const SegmentId& id : files.ListSegments()) {
    if (IsAbandoned(files, id)) files.RemoveSegment(id);
  }
  PYLABHUB_CRASH_POINT("channel.leave.leftovers_removed");
  if (files.ListSegments().empty()) turn->Remove();
  PYLABHUB_CRASH_POINT("channel.leave.done");
}

}  // namespace pylabhub::shm
