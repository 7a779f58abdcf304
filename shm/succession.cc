#include "shm/succession.h"

#include <algorithm>
#include <utility>

#include "absl/status/statusor.h"
#include "shm/read_order.h"

namespace pylabhub::shm {

Succession Succession::Of(const ChannelFiles& files, const SegmentId& predecessor_id) {
  Succession succession;
  if (predecessor_id.is_nil()) return succession;
  absl::StatusOr<OpenedSegment> last = OpenNamedSegment(files, predecessor_id, Access::kReadOnly);
  if (!last.ok()) return succession;
  const SegmentId before_id = last->data_view.predecessor_id;
  succession.segments_.push_back(*std::move(last));
  succession.AddAttached(0);
  if (before_id.is_nil()) return succession;
  absl::StatusOr<OpenedSegment> before = OpenNamedSegment(files, before_id, Access::kReadOnly);
  if (!before.ok()) return succession;
  succession.segments_.push_back(*std::move(before));
  succession.AddExpected(succession.segments_[0], 1);
  return succession;
}

void Succession::AddAttached(size_t segment) {
  const uint32_t places = segments_[segment].control_view.max_consumers;
  for (uint32_t place = 0; place < places; ++place) {
    if (!segments_[segment].ConsumerLives(place)) continue;
    Add(place, segments_[segment].control_view.entries[place].token.load(std::memory_order_relaxed), segment);
  }
}

// Those for whom `segment` keeps a place that they have not taken yet: they live on its predecessor.
void Succession::AddExpected(const OpenedSegment& segment, size_t predecessor) {
  const std::span<const Reservation> reservations = segment.data_view.reservations();
  const uint32_t places =
      std::min(segment.control_view.max_consumers, segments_[predecessor].control_view.max_consumers);
  for (uint32_t place = 0; place < places; ++place) {
    const uint64_t token = reservations[place].Expected();
    const bool attached =
        std::any_of(heirs_.begin(), heirs_.end(), [&](const Heir& heir) { return heir.place == place; });
    if (token == kNotReserved || attached || !segments_[predecessor].ConsumerLives(place)) continue;
    Add(place, token, predecessor);
  }
}

void Succession::Add(uint32_t place, uint64_t token, size_t segment) {
  // A consumer that holds its lock but has not written its token has not read anything yet: it has nothing to
  // lose.
  if (token <= kReservationTaken) return;
  const ConsumerEntry& entry = segments_[segment].control_view.entries[place];
  const bool waited_for =
      entry.order.load(std::memory_order_relaxed) == static_cast<uint32_t>(ReadOrder::kNext);
  heirs_.push_back({.place = place, .token = token, .waited_for = waited_for, .segment = segment});
}

}  // namespace pylabhub::shm
