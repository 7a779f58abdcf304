#include "shm/channel/starting_point.h"

#include <algorithm>

#include "shm/segment/geometry.h"
#include "shm/segment/layout.h"

namespace pylabhub::shm {
namespace {

uint64_t LowestKept(const DataView& view, uint64_t head) {
  const uint64_t capacity = view.geometry.capacity_slots;
  return head > capacity ? head - capacity : 0;
}

// The first slot from `sequence` on that is in its cell; `head` if none is.
uint64_t FirstInPlace(const DataView& view, uint64_t sequence, uint64_t head) {
  const Geometry& geometry = view.geometry;
  for (; sequence < head; ++sequence) {
    const auto* cell =
        At<SlotDescriptor>(view.base, geometry.cells_offset_bytes +
                                          sequence % geometry.capacity_slots * geometry.cell_stride_bytes);
    // Relaxed: the reader looks again, with care.
    if (cell->stamp.load(std::memory_order_relaxed) == sequence + 1) break;
  }
  return sequence;
}

}  // namespace

uint64_t LowestStart(const DataView& view, const Applicant& applicant, bool place_was_kept, uint64_t head) {
  if (applicant.group != 0) return LowestKept(view, head);
  if (place_was_kept) return 0;
  if (applicant.order == ReadOrder::kLatest) return head;
  if (applicant.keeps_place)
    return IsWaitedForWithoutEnd(view.config, applicant) ? head : LowestKept(view, head);
  switch (applicant.start.at) {
    case JoinPoint::At::kNewest:
      return head;
    case JoinPoint::At::kOldest:
      return LowestKept(view, head);
    case JoinPoint::At::kSequence:
      return std::max(LowestKept(view, head), std::min(applicant.start.sequence, head));
  }
  return head;
}

StartingPoint ChooseStart(const DataView& view, const Applicant& applicant, uint32_t place,
                          bool place_was_kept, uint64_t head) {
  // Its group's claims tell a member what is left; no slot is kept for one of them.
  if (applicant.group != 0) return {.sequence = LowestKept(view, head)};
  // The newest slot that there is counts as news for who reads the latest.
  if (applicant.order == ReadOrder::kLatest) return {.sequence = head > 0 ? head - 1 : 0};
  const PlaceRecord& record = view.places()[place];
  // Sequentially consistent, like the announcement before: the producer may have seen the consumer by now, or will, or
  // has given its place up.
  const uint64_t token = record.token.load(std::memory_order_seq_cst);
  const bool kept = place_was_kept && (token == applicant.token || token == kReservationTaken);
  if (kept && record.holds_slots.load(std::memory_order_relaxed) != 0) return {.at_head = true};

  const uint64_t oldest = FirstInPlace(view, LowestKept(view, head), head);
  if (applicant.keeps_place) {
    // It has come too late for its place. Who reads in place can begin only where nothing is written over.
    const uint64_t sequence = IsWaitedForWithoutEnd(view.config, applicant) ? head : oldest;
    return {.sequence = sequence, .missed_slots = sequence, .at_head = sequence == head};
  }
  switch (applicant.start.at) {
    case JoinPoint::At::kNewest:
      return {.sequence = head, .at_head = true};
    case JoinPoint::At::kOldest:
      return {.sequence = oldest, .at_head = oldest == head};
    case JoinPoint::At::kSequence: {
      const uint64_t wanted = applicant.start.sequence;
      if (wanted >= oldest) return {.sequence = wanted, .at_head = wanted >= head};
      return {.sequence = oldest, .missed_slots = oldest - wanted};
    }
  }
  return {.sequence = head};
}

}  // namespace pylabhub::shm
