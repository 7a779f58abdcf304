#include "shm/ring/chunk_pool.h"

#include <algorithm>

#include "shm/os/crash_point.h"
#include "shm/os/full_fence.h"

namespace pylabhub::shm {

ChunkPool::ChunkPool(uint32_t chunk_count, bool all_fit_into_cache)
    : all_fit_into_cache_(all_fit_into_cache), pinned_(chunk_count, false) {
  free_.reserve(chunk_count);
  retired_.reserve(chunk_count);
  for (uint32_t chunk = chunk_count; chunk > 0; --chunk) free_.push_back(chunk - 1);
  if (!all_fit_into_cache_) cold_ = free_.size();
}

uint32_t ChunkPool::Take(ConsumerRoster& roster, uint64_t head) {
  if (!HasWarm(1) && !retired_.empty()) Reclaim(roster, head);
  if (free_.empty()) {
    // The pins of a dead consumer stay set: only here do they cost anything, so only here is the kernel
    // asked.
    roster.EvictDeadPinners();
    Reclaim(roster, head);
  }
  if (free_.empty()) return kNone;
  const uint32_t chunk = free_.back();
  free_.pop_back();
  cold_ = std::min(cold_, free_.size());
  PYLABHUB_CRASH_POINT("pool.take.taken");
  return chunk;
}

void ChunkPool::MarkPinned(ConsumerRoster& roster) {
  std::fill(pinned_.begin(), pinned_.end(), false);
  if (roster.MarkPinned(pinned_)) return;
  // Who joins counts the pins of the living only: those of the dead must not use up the room for theirs.
  roster.EvictDeadPinners();
  std::fill(pinned_.begin(), pinned_.end(), false);
  roster.MarkPinned(pinned_);
}

void ChunkPool::Reclaim(ConsumerRoster& roster, uint64_t head) {
  // Edge P: the descriptors that named these chunks were changed before this fence; joins and pins are read
  // after it.
  FullFence();
  roster.Refresh(head);
  PYLABHUB_CRASH_POINT("pool.reclaim.roster_read");
  const bool any_pins = roster.AnyPins();
  if (any_pins) MarkPinned(roster);
  PYLABHUB_CRASH_POINT("pool.reclaim.pins_read");
  if (!all_fit_into_cache_) cold_ = free_.size();
  size_t kept = 0;
  for (uint32_t chunk : retired_) {
    if (any_pins && pinned_[chunk]) {
      retired_[kept++] = chunk;
    } else {
      free_.push_back(chunk);
    }
  }
  retired_.resize(kept);
}

}  // namespace pylabhub::shm
