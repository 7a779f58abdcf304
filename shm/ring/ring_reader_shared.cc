// How a member of a group reads: Turn::kShared. group_claims.h draws the protocol.
#include "shm/os/crash_point.h"
#include "shm/ring/group_claims.h"
#include "shm/ring/ring_reader.h"

namespace pylabhub::shm {

SlotResult RingReader::TryAcquireShared(SlotView* slot) {
  if (corrupt_unreported_) [[unlikely]] {
    corrupt_unreported_ = false;
    return SlotResult::kCorrupt;
  }
  if (look_back_) [[unlikely]] {
    const SlotResult result = TakeAbandoned(slot);
    if (result != SlotResult::kTimeout) return result;
    look_back_ = false;
  }
  for (;;) {
    // Acquire, edge A.
    if (cell()->stamp.load(std::memory_order_acquire) == expected_ + 1) {
      if (const auto claim = member_->TryClaim(expected_)) return TakeClaimed(*claim, slot);
    }
    const uint64_t next = PassClaimed();
    if (next == expected_) {
      if (geometry_.inline_payloads()) __builtin_prefetch(cell() + 1);
      return SlotResult::kTimeout;
    }
    MoveTo(next);
  }
}

bool RingReader::HasUnclaimed() const {
  const uint64_t next = PassClaimed();
  return look_back_ || (member_->IsUnclaimed(next) && IsCommitted(next));
}

SlotResult RingReader::TakeClaimed(const GroupMember::Claim& claim, SlotView* slot) {
  // Back, where another member did not live to release it: what lies between is passed again.
  MoveTo(claim.sequence);
  const SlotResult result = Take(cell(), claim.sequence, slot);
  if (result != SlotResult::kOk) {
    FinishClaimed(claim.sequence);
    return result;
  }
  slot->redelivered = claim.redelivered;
  if (claim.redelivered) {
    // Relaxed: a counter.
    entry_->redelivered_slots.store(++redelivered_slots_, std::memory_order_relaxed);
    PYLABHUB_CRASH_POINT("group.take.redelivery_counted");
  }
  return SlotResult::kOk;
}

bool RingReader::FindAbandoned() {
  const uint64_t end = CommittedSlots(view_);
  for (uint64_t sequence = member_->DoneBelow(end); sequence < end && !look_back_; ++sequence)
    look_back_ = member_->IsAbandoned(sequence) && IsCommitted(sequence);
  return look_back_;
}

SlotResult RingReader::TakeAbandoned(SlotView* slot) {
  const uint64_t end = CommittedSlots(view_);
  for (uint64_t sequence = member_->DoneBelow(end); sequence < end; ++sequence) {
    if (!IsCommitted(sequence)) continue;
    if (const auto claim = member_->TakeOver(sequence)) return TakeClaimed(*claim, slot);
  }
  return SlotResult::kTimeout;
}

// Of a slot that this member has claimed, and read or found to be corrupt.
void RingReader::FinishClaimed(uint64_t sequence) {
  member_->Finish(sequence);
  // Relaxed: as in PublishCursor.
  if (view_.header->wait.may_sleep.load(std::memory_order_relaxed) != 0) [[unlikely]]
    member_->WakeProducer(view_.header->wait, sequence);
}

}  // namespace pylabhub::shm
