#include "shm/ring/group_claims.h"

#include <algorithm>
#include <utility>

#include "shm/os/crash_point.h"
#include "shm/os/full_fence.h"
#include "shm/os/futex.h"

namespace pylabhub::shm {
namespace {

constexpr uint32_t kMaxRedeliveries = (1u << kClaimRedeliveryBits) - 1;

uint32_t PlaceOf(uint64_t word) { return word & ((1u << kClaimPlaceBits) - 1); }
uint32_t RedeliveriesOf(uint64_t word) {
  return word >> (kClaimPlaceBits + kClaimStateBits) & kMaxRedeliveries;
}
// 0 means never, and does not come again.
uint32_t NextRedeliveries(uint64_t word) { return RedeliveriesOf(word) % kMaxRedeliveries + 1; }

// How far the slot of `word` is ahead of `sequence`, as far as the number in a word goes.
int64_t Ahead(uint64_t word, uint64_t sequence) {
  constexpr uint32_t kDropped = 64 - kClaimSequenceBits;
  return static_cast<int64_t>(((word >> kDropped) - sequence) << kDropped) >> kDropped;
}

enum class Verdict : uint8_t {
  kUnclaimed,
  kClaimed,
  kDone,
  kPassed,     // the word is of a later slot: this one was done
  kSenseless,  // no correct member writes it
};

// What the word of a cell says about one of its slots.
Verdict Judge(uint64_t word, uint64_t sequence, uint64_t capacity) {
  const int64_t ahead = Ahead(word, sequence);
  const auto state = static_cast<ClaimState>(word >> kClaimPlaceBits & ((1u << kClaimStateBits) - 1));
  if (ahead == 0) {
    switch (state) {
      case ClaimState::kOpen:
        return Verdict::kUnclaimed;
      case ClaimState::kClaimed:
        return Verdict::kClaimed;
      case ClaimState::kDone:
        return Verdict::kDone;
    }
    return Verdict::kSenseless;
  }
  if (ahead == -static_cast<int64_t>(capacity))
    return state == ClaimState::kDone ? Verdict::kUnclaimed : Verdict::kSenseless;
  return ahead > 0 && static_cast<uint64_t>(ahead) % capacity == 0 ? Verdict::kPassed : Verdict::kSenseless;
}

// For members, who trust each other and may have been overtaken.
bool IsDone(const std::atomic<uint64_t>& claim, uint64_t sequence, uint64_t capacity) {
  // Acquire, edge G: nothing is reported as done that is still being read.
  const Verdict verdict = Judge(claim.load(std::memory_order_acquire), sequence, capacity);
  return verdict == Verdict::kDone || verdict == Verdict::kPassed;
}

}  // namespace

GroupProgress::GroupProgress(const ControlView& control, uint32_t group)
    : claims_(control.claims(group)), max_consumers_(control.max_consumers()) {}

uint64_t GroupProgress::DoneBelow(uint64_t head) {
  for (; done_below_ < head; ++done_below_) {
    // Acquire, edge G: who says done has read the slot.
    const uint64_t word = claims_[done_below_ % claims_.size()].load(std::memory_order_acquire);
    const Verdict verdict = Judge(word, done_below_, claims_.size());
    if (verdict == Verdict::kDone) continue;
    const bool valid =
        verdict == Verdict::kUnclaimed || (verdict == Verdict::kClaimed && PlaceOf(word) < max_consumers_);
    invalid_words_ += valid ? 0 : 1;
    break;
  }
  return done_below_;
}

GroupMember::GroupMember(const ControlView& control, uint32_t group, uint32_t place,
                         LivenessProbe holder_lives)
    : claims_(control.claims(group)),
      entry_(&control.group(group)),
      group_(group),
      first_place_(control.first_place()),
      place_(place - first_place_),
      holder_lives_(std::move(holder_lives)) {}

bool GroupMember::HolderLives(uint64_t word) const { return holder_lives_(first_place_ + PlaceOf(word)); }

uint64_t GroupMember::DoneBelow(uint64_t head) const {
  done_below_ = std::max(done_below_, head - std::min<uint64_t>(head, claims_.size()));
  while (done_below_ < head && IsDone(WordOf(done_below_), done_below_, claims_.size())) ++done_below_;
  return done_below_;
}

uint64_t GroupMember::PassClaimed(uint64_t sequence, const std::atomic<uint64_t>& head) const {
  for (;;) {
    // Relaxed: nothing is read because of it. Who claims looks again.
    const uint64_t word = WordOf(sequence).load(std::memory_order_relaxed);
    switch (Judge(word, sequence, claims_.size())) {
      case Verdict::kUnclaimed:
      case Verdict::kSenseless:
        return sequence;
      case Verdict::kClaimed:
      case Verdict::kDone:
        ++sequence;
        break;
      case Verdict::kPassed: {
        // All of the cell's slots but that of the word are done.
        const uint64_t next = sequence + static_cast<uint64_t>(Ahead(word, sequence)) - claims_.size() + 1;
        // A word is written after its slot was committed, and head after that, by another process.
        if (next > head.load(std::memory_order_acquire) + 1) return sequence;
        sequence = next;
        break;
      }
    }
  }
}

bool GroupMember::IsUnclaimed(uint64_t sequence) const {
  // Relaxed: as in PassClaimed.
  const uint64_t word = WordOf(sequence).load(std::memory_order_relaxed);
  return Judge(word, sequence, claims_.size()) == Verdict::kUnclaimed;
}

std::optional<GroupMember::Claim> GroupMember::TryClaim(uint64_t sequence) {
  const uint64_t word = WordOf(sequence).load(std::memory_order_relaxed);
  if (Judge(word, sequence, claims_.size()) != Verdict::kUnclaimed) return std::nullopt;
  // One that was opened again keeps its count; one that was never claimed starts at 0.
  return Swap(sequence, word, Ahead(word, sequence) == 0 ? RedeliveriesOf(word) : 0);
}

bool GroupMember::IsAbandoned(uint64_t sequence) const {
  // Relaxed: a place whose lock is free says all that is needed about who had it; TakeOver looks again.
  const uint64_t word = WordOf(sequence).load(std::memory_order_relaxed);
  switch (Judge(word, sequence, claims_.size())) {
    case Verdict::kUnclaimed:
    case Verdict::kSenseless:
      return true;
    case Verdict::kClaimed:
      return PlaceOf(word) != place_ && !HolderLives(word);
    case Verdict::kDone:
    case Verdict::kPassed:
      break;
  }
  return false;
}

std::optional<GroupMember::Claim> GroupMember::TakeOver(uint64_t sequence) {
  const uint64_t word = WordOf(sequence).load(std::memory_order_relaxed);
  switch (Judge(word, sequence, claims_.size())) {
    case Verdict::kUnclaimed:
      return TryClaim(sequence);
    case Verdict::kClaimed:
      if (PlaceOf(word) == place_ || HolderLives(word)) return std::nullopt;
      break;
    case Verdict::kSenseless:
      break;
    case Verdict::kDone:
    case Verdict::kPassed:
      return std::nullopt;
  }
  return Swap(sequence, word, NextRedeliveries(word));
}

std::optional<GroupMember::Claim> GroupMember::Swap(uint64_t sequence, uint64_t seen, uint32_t redeliveries) {
  const uint64_t mine = ClaimWord(sequence, ClaimState::kClaimed, place_, redeliveries);
  // Edge C. Acquire: what is read from the slot is read after it became this member's. Release is not needed: the word
  // tells nobody of anything that was written before.
  if (!WordOf(sequence).compare_exchange_strong(seen, mine, std::memory_order_acquire,
                                                std::memory_order_relaxed)) {
    return std::nullopt;
  }
  PYLABHUB_CRASH_POINT("group.claim.claimed");
  return Claim{.sequence = sequence, .redelivered = redeliveries != 0};
}

void GroupMember::Finish(uint64_t sequence) {
  // Release, edge G: the slot was read before it is done.
  WordOf(sequence).store(ClaimWord(sequence, ClaimState::kDone, place_), std::memory_order_release);
  PYLABHUB_CRASH_POINT("group.release.done");
}

void GroupMember::WakeProducer(const ProducerWait& wait, uint64_t sequence) {
  // Edge W: done was stored before this fence, and who sleeps is read after it.
  FullFence();
  const bool waits_for_group = wait.waiting_place.load(std::memory_order_relaxed) == kWaitingGroup + group_;
  if (!waits_for_group || sequence >= wait.waiting_cursor.load(std::memory_order_relaxed)) return;
  // Relaxed: the producer looks at the claim words; this only keeps it from going to sleep now.
  entry_->releases.fetch_add(1, std::memory_order_relaxed);
  PYLABHUB_CRASH_POINT("group.wake.counted");
  FutexWakeAll(LowHalf(entry_->releases));
  PYLABHUB_CRASH_POINT("group.wake.woken");
}

void ReopenPlace(const ControlView& control, uint32_t place) {
  const uint32_t index = place - control.first_place();
  for (uint32_t group = 0; group < control.shape.group_count; ++group) {
    for (std::atomic<uint64_t>& claim : control.claims(control.shape.first_group + group)) {
      // Acquire and release: nothing that this place's holder does is seen before its claims are gone.
      uint64_t word = claim.load(std::memory_order_acquire);
      const uint64_t sequence = word >> (64 - kClaimSequenceBits);
      if (PlaceOf(word) != index || Judge(word, sequence, control.shape.capacity_slots) != Verdict::kClaimed)
        continue;
      // Edge C. If it fails, another member has just taken the slot over.
      claim.compare_exchange_strong(word,
                                    ClaimWord(sequence, ClaimState::kOpen, index, NextRedeliveries(word)),
                                    std::memory_order_acq_rel, std::memory_order_relaxed);
      PYLABHUB_CRASH_POINT("group.reopen.opened");
    }
  }
}

uint64_t CommittedSlots(const DataView& data) {
  const Geometry& geometry = data.geometry;
  uint64_t end = data.header->progress.head.load(std::memory_order_acquire);
  for (uint64_t i = 0; i < geometry.capacity_slots; ++i, ++end) {
    const auto* cell = At<SlotDescriptor>(
        data.base, geometry.cells_offset_bytes + end % geometry.capacity_slots * geometry.cell_stride_bytes);
    // Acquire, edge A.
    if (cell->stamp.load(std::memory_order_acquire) != end + 1) break;
  }
  return end;
}

uint64_t CountUndone(const DataView& data, const ControlView& control, uint32_t group) {
  const std::span<std::atomic<uint64_t>> claims = control.claims(group);
  const uint64_t end = CommittedSlots(data);
  uint64_t undone = 0;
  for (uint64_t sequence = end - std::min<uint64_t>(end, claims.size()); sequence < end; ++sequence) {
    undone += IsDone(claims[sequence % claims.size()], sequence, claims.size()) ? 0 : 1;
  }
  return undone;
}

}  // namespace pylabhub::shm
