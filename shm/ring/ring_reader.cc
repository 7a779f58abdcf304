#include "shm/ring/ring_reader.h"

#include <algorithm>
#include <utility>

#include "shm/os/crash_point.h"
#include "shm/os/full_fence.h"
#include "shm/os/futex.h"
#include "shm/ring/checksum.h"
#include "shm/ring/inline_payload.h"

namespace pylabhub::shm {
namespace {

// A consumer that found so many slots in a row without sleeping is taken to be awake.
constexpr uint32_t kSlotsToBeAwake = 64;
// How often a reader tries again when the producer overtakes it while it reads, before it says that nothing
// is there.
constexpr int kAttempts = 16;

}  // namespace

RingReader::RingReader(const DataView& view, ConsumerEntry* entry, ReaderSetup setup)
    : view_(view),
      geometry_(view.geometry),
      entry_(entry),
      place_(setup.place),
      record_(&view.places()[setup.place]),
      state_(entry->state.load(std::memory_order_relaxed)),
      order_(setup.order),
      turn_(setup.member.has_value()       ? Turn::kShared
            : order_ == ReadOrder::kLatest ? Turn::kLatest
                                           : Turn::kNext),
      max_pinned_(setup.max_pinned),
      may_settle_(setup.waited_for_without_end),
      checksum_(view.config.checksum),
      member_(std::move(setup.member)),
      cells_end_offset_bytes_(geometry_.cells_offset_bytes + geometry_.cells_bytes()) {
  access_ = geometry_.inline_payloads() ? Access::kCopied : Access::kPinned;
  held_.resize(setup.max_batch);
  if (access_ == Access::kCopied) {
    copy_words_ = WordsOf(geometry_.slot_bytes);
    copies_.resize(copy_words_ * setup.max_batch);
  }
  missed_before_ = setup.start.missed_slots;
  MoveTo(std::min(setup.start.sequence, kMaxHead));
  // Edge J: from head on nothing is written over, whether or not the producer has seen this consumer yet.
  if (may_settle_ && setup.start.at_head && !setup.may_be_unheard) Settle();
  // Edge G: what a member has claimed is not written over, whether or not the producer has seen that member.
  if (member_.has_value()) Settle();
}

void RingReader::Settle() {
  access_ = Access::kInPlace;
  may_settle_ = false;
  copies_.clear();
  entry_->pins_declared.store(0, std::memory_order_release);
  PYLABHUB_CRASH_POINT("reader.settle.pins_withdrawn");
}

void RingReader::TrySettle() {
  // Acquire: who sees the acknowledgement sees what was withdrawn before it; from then on the producer goes no further
  // than the cursor allows.
  if (record_->acknowledged_state.load(std::memory_order_acquire) != state_) return;
  Settle();
  LookBack();
}

void RingReader::MoveTo(uint64_t sequence) {
  expected_ = sequence;
  cell_offset_bytes_ =
      geometry_.cells_offset_bytes + sequence % geometry_.capacity_slots * geometry_.cell_stride_bytes;
}

[[gnu::always_inline]] inline void RingReader::PublishCursor() {
  // Relaxed: counters.
  entry_->received_slots.store(received_slots_, std::memory_order_relaxed);
  PYLABHUB_CRASH_POINT("reader.cursor.slots_counted");
  entry_->missed_slots.store(missed_slots_, std::memory_order_relaxed);
  PYLABHUB_CRASH_POINT("reader.cursor.missed_counted");
  entry_->received_bytes.store(received_bytes_, std::memory_order_relaxed);
  PYLABHUB_CRASH_POINT("reader.cursor.bytes_counted");
  // Release, edge B: the payload was read before the cursor moves on.
  entry_->cursor.store(expected_, std::memory_order_release);
  PYLABHUB_CRASH_POINT("reader.cursor.moved");
  // Relaxed: a producer that begins to sleep unseen sleeps shortly the first time (edge W, the other way
  // round).
  if (view_.header->wait.may_sleep.load(std::memory_order_relaxed) != 0) [[unlikely]]
    WakeProducer();
}

[[gnu::always_inline]] inline RingReader::Descriptor RingReader::Load(const SlotDescriptor* cell) const {
  // Acquire, edge T: a value that is newer than the stamp is followed by a newer stamp.
  Descriptor descriptor{.payload_bytes = cell->payload_bytes.load(std::memory_order_acquire),
                        .timestamp_ns = cell->timestamp_ns.load(std::memory_order_acquire),
                        .chunk = cell->chunk.load(std::memory_order_acquire),
                        .has_checksum = false,
                        .checksum = 0};
  if (checksum_ != Checksum::kNone && (cell->flags.load(std::memory_order_acquire) & kHasChecksum) != 0) {
    descriptor.has_checksum = true;
    descriptor.checksum = cell->checksum.load(std::memory_order_acquire);
  }
  return descriptor;
}

[[gnu::always_inline]] inline bool RingReader::IsSound(const Descriptor& descriptor) const {
  if (descriptor.payload_bytes > geometry_.slot_bytes) return false;
  return geometry_.inline_payloads() ? descriptor.chunk == kInlineChunk
                                     : descriptor.chunk < geometry_.chunk_count;
}

[[gnu::always_inline]] inline std::span<const std::byte> RingReader::Payload(const SlotDescriptor* cell,
                                                                             const Descriptor& descriptor) {
  if (access_ == Access::kCopied) {
    return {copy(), descriptor.payload_bytes};
  }
  if (geometry_.inline_payloads())
    return {reinterpret_cast<const std::byte*>(cell + 1), descriptor.payload_bytes};
  return {view_.base + geometry_.chunks_offset_bytes + descriptor.chunk * geometry_.chunk_stride_bytes,
          descriptor.payload_bytes};
}

[[gnu::always_inline]] inline SlotResult RingReader::TakeHere(const SlotDescriptor* cell, uint64_t sequence,
                                                              SlotView* slot) {
  const Descriptor descriptor = Load(cell);
  PYLABHUB_CRASH_POINT("reader.take.descriptor_read");
  // Nothing that it says can be used; only that there was one is sure.
  if (!IsSound(descriptor)) [[unlikely]]
    return SkipCorrupt(sequence);
  if (access_ != Access::kInPlace && !Secure(cell, descriptor, sequence)) return SlotResult::kTimeout;
  const std::span<const std::byte> payload = Payload(cell, descriptor);
  const bool verified = checksum_ != Checksum::kEnforced ||
                        (descriptor.has_checksum && descriptor.checksum == ChecksumOf(payload));
  if (!verified) [[unlikely]] {
    ReadFence();
    // Overwritten meanwhile, under a reader that the producer does not know: not corrupt, but gone.
    if (access_ == Access::kInPlace && !WasNotOverwritten(cell, sequence)) return SlotResult::kTimeout;
    return SkipCorrupt(sequence);
  }
  missed_before_ += sequence - expected_;
  missed_slots_ += missed_before_;
  ++received_slots_;
  received_bytes_ += descriptor.payload_bytes;
  // Member by member: put together elsewhere and copied, they would be read in larger words than they are written in,
  // and that waits until every earlier store has reached the cache, those to lines that the producer holds too.
  slot->payload = payload;
  slot->sequence = sequence;
  slot->timestamp_ns = descriptor.timestamp_ns;
  slot->missed_slots = missed_before_;
  slot->checksum.reset();
  if (descriptor.has_checksum) slot->checksum = descriptor.checksum;
  missed_before_ = 0;
  held_[held_count_++] = {.cell = cell, .sequence = sequence, .chunk = descriptor.chunk};
  if (sequence == expected_) [[likely]] {
    ++expected_;
    cell_offset_bytes_ += geometry_.cell_stride_bytes;
    if (cell_offset_bytes_ == cells_end_offset_bytes_) cell_offset_bytes_ = geometry_.cells_offset_bytes;
  } else {
    MoveTo(sequence + 1);
  }
  PYLABHUB_CRASH_POINT("reader.take.held");
  if (wait_state_ != kAwake && ++slots_since_sleep_ == kSlotsToBeAwake) [[unlikely]]
    SetWaitState(kAwake);
  return SlotResult::kOk;
}

SlotResult RingReader::Take(const SlotDescriptor* cell, uint64_t sequence, SlotView* slot) {
  return TakeHere(cell, sequence, slot);
}

SlotResult RingReader::TryAcquireNext(SlotView* slot) {
  if (corrupt_unreported_) [[unlikely]] {
    corrupt_unreported_ = false;
    return SlotResult::kCorrupt;
  }
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    // Acquire, edge A: the stamp brings the slot's descriptor and payload.
    const uint64_t stamp = cell()->stamp.load(std::memory_order_acquire);
    if (stamp == expected_ + 1) [[likely]] {
      const SlotResult result = TakeHere(cell(), expected_, slot);
      if (result != SlotResult::kTimeout) return result;
    } else if (WasLapped(stamp)) {
      // Nobody else is lapped while it reads in place.
      if (access_ == Access::kInPlace && FindCutOff()) return SlotResult::kCutOff;
      SkipLap();
    } else {
      // Who waits asks for the payload's line together with the stamp's: both come at once then.
      if (geometry_.inline_payloads()) __builtin_prefetch(cell() + 1);
      return SlotResult::kTimeout;
    }
  }
  return SlotResult::kTimeout;
}

SlotResult RingReader::TryAcquireBatch(std::span<SlotView> slots, size_t* taken) {
  *taken = 0;
  const SlotResult first = TryAcquire(slots.data());
  if (first != SlotResult::kOk) return first;
  size_t room = order_ == ReadOrder::kNext ? std::min(slots.size(), held_.size()) : 1;
  if (access_ == Access::kPinned) room = std::min<size_t>(room, max_pinned_);
  size_t count = 1;
  while (count < room) {
    const SlotResult result = TakeIfThere(&slots[count]);
    corrupt_unreported_ = result == SlotResult::kCorrupt;
    if (result != SlotResult::kOk) break;
    ++count;
  }
  *taken = count;
  return SlotResult::kOk;
}

// The expected slot is not in its cell: is it gone, or yet to come?
bool RingReader::WasLapped(uint64_t stamp) const {
  if (stamp != kNoSlot) return stamp > expected_ + 1;
  // While the producer writes into the cell only head can say. (A producer that waits for this consumer never laps
  // it, and its head would cost a cache line at every look.)
  if (access_ == Access::kInPlace) return false;
  return IsBehind();
}

// True if the slot was committed, and is not there: overwritten, or withdrawn because a slot is to come in its place.
bool RingReader::IsBehind() const {
  if (head() <= expected_) return false;
  // It may have come between the two looks.
  return cell()->stamp.load(std::memory_order_acquire) != expected_ + 1;
}

bool RingReader::LookBack() {
  if (turn_ == Turn::kShared) return FindAbandoned();
  if (FindCutOff()) return true;
  if (!IsBehind()) return false;
  SkipLap();
  PublishCursor();
  return true;
}

bool RingReader::FindCutOff() {
  // Acquire: whatever the producer did before it cut this consumer off.
  if (!IsCutOff(std::memory_order_acquire)) return false;
  access_ = Access::kNone;
  may_settle_ = false;
  return true;
}

// Moves on to a slot that is still there; after a lap not to the oldest, which would be gone before it is read.
void RingReader::SkipLap() {
  const uint64_t capacity = geometry_.capacity_slots;
  const uint64_t newest = head();
  uint64_t next = expected_ + 1;
  if (newest >= expected_ + capacity) {
    next = std::max(next, newest - capacity + (access_ == Access::kInPlace ? 0 : capacity / 4));
  }
  while (next < newest && CellOf(next)->stamp.load(std::memory_order_relaxed) == kNoSlot) ++next;
  missed_before_ += next - expected_;
  MoveTo(next);
  PYLABHUB_CRASH_POINT("reader.lap.skipped");
}

bool RingReader::IsReady() const {
  // Relaxed, here and below: nothing is read because of it; TryAcquire looks again.
  if (access_ != Access::kInPlace && IsCutOff(std::memory_order_relaxed)) return true;
  if (order_ == ReadOrder::kLatest) return FindNewest() > expected_;
  if (corrupt_unreported_) return true;
  if (turn_ == Turn::kShared) return HasUnclaimed();
  const uint64_t stamp = cell()->stamp.load(std::memory_order_relaxed);
  return stamp == expected_ + 1 || WasLapped(stamp);
}

uint64_t RingReader::FindNewest() const {
  // The expected slot's own cell is polled, not head: that line is the producer's alone while nothing
  // comes. And a slot is committed by its stamp, whether or not its producer lived to move head.
  const uint64_t stamp = CellOf(expected_)->stamp.load(std::memory_order_acquire);
  if (stamp != kNoSlot && stamp <= expected_) return stamp;
  return std::max(head(), std::min(stamp, kMaxHead));
}

SlotResult RingReader::TryAcquireLatest(SlotView* slot) {
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const uint64_t newest = FindNewest();
    if (newest <= expected_) return SlotResult::kTimeout;
    const SlotDescriptor* const cell = CellOf(newest - 1);
    // Acquire, edge A. Another stamp: the producer has moved on, and so does the reader.
    if (cell->stamp.load(std::memory_order_acquire) != newest) continue;
    const SlotResult result = Take(cell, newest - 1, slot);
    if (result != SlotResult::kTimeout) return result;
  }
  // Overtaken again and again: nobody may go to sleep for a slot that is gone.
  const uint64_t newest = FindNewest();
  // Never back, whatever a producer gone wrong has written meanwhile.
  if (newest > expected_ + 1) {
    missed_before_ += newest - 1 - expected_;
    MoveTo(newest - 1);
  }
  return SlotResult::kTimeout;
}

SlotResult RingReader::TakeIfThere(SlotView* slot) {
  if (turn_ == Turn::kShared) return TryAcquireShared(slot);
  // Acquire, edge A.
  if (cell()->stamp.load(std::memory_order_acquire) != expected_ + 1) return SlotResult::kTimeout;
  return Take(cell(), expected_, slot);
}

SlotResult RingReader::SkipCorrupt(uint64_t sequence) {
  if (access_ == Access::kPinned) entry_->pins[held_count_].store(0, std::memory_order_release);
  CountCorrupt(sequence);
  missed_before_ += sequence + 1 - expected_;
  MoveTo(sequence + 1);
  PYLABHUB_CRASH_POINT("reader.take.corrupt_skipped");
  if (held_count_ == 0) PublishCursor();
  return SlotResult::kCorrupt;
}

void RingReader::CountCorrupt(uint64_t sequence) {
  if (last_corrupt_ == sequence + 1) return;
  last_corrupt_ = sequence + 1;
  // Relaxed: a counter.
  entry_->corrupt_slots.store(++corrupt_slots_, std::memory_order_relaxed);
  PYLABHUB_CRASH_POINT("reader.corrupt.counted");
}

SlotResult RingReader::Verify(const SlotView& slot) {
  if (generation_ != ForkGeneration()) [[unlikely]]
    return SlotResult::kForked;
  if (!slot.checksum.has_value()) return SlotResult::kNoChecksum;
  if (*slot.checksum == ChecksumOf(slot.payload)) return SlotResult::kOk;
  CountCorrupt(slot.sequence);
  return SlotResult::kCorrupt;
}

bool RingReader::Secure(const SlotDescriptor* cell, const Descriptor& descriptor, uint64_t sequence) {
  if (access_ == Access::kCopied) {
    LoadInline(reinterpret_cast<const std::byte*>(cell + 1), copy(), descriptor.payload_bytes);
    PYLABHUB_CRASH_POINT("reader.take.copied");
    return WasNotOverwritten(cell, sequence);
  }
  // Sequentially consistent, edge P: the pin is visible before the stamp is looked at again.
  std::atomic<uint64_t>& pin = entry_->pins[held_count_];
  pin.exchange(uint64_t{descriptor.chunk} + 1, std::memory_order_seq_cst);
  PYLABHUB_CRASH_POINT("reader.take.pinned");
  if (WasNotOverwritten(cell, sequence)) return true;
  PYLABHUB_CRASH_POINT("reader.take.overtaken");
  pin.store(0, std::memory_order_release);
  PYLABHUB_CRASH_POINT("reader.take.unpinned");
  return false;
}

bool RingReader::WasNotOverwritten(const SlotDescriptor* cell, uint64_t sequence) const {
  // Edges P and T: the acquires that read the cell keep this load behind them.
  return cell->stamp.load(std::memory_order_seq_cst) == sequence + 1;
}

// A producer that honours cursors and pins leaves a held slot alone. This is how a consumer knows if one did
// not.
[[gnu::always_inline]] inline bool RingReader::IsUnchanged(const Held& held) const {
  switch (access_) {
    case Access::kCopied:
      return true;
    case Access::kInPlace:
      return held.cell->stamp.load(std::memory_order_acquire) == held.sequence + 1;
    case Access::kPinned:
    case Access::kNone:
      break;
  }
  const auto* sequences = At<std::atomic<uint64_t>>(view_.base, geometry_.chunk_sequences_offset_bytes);
  return sequences[held.chunk].load(std::memory_order_acquire) == held.sequence + 1;
}

SlotResult RingReader::Release() {
  if (generation_ != ForkGeneration()) [[unlikely]]
    return SlotResult::kForked;
  PYLABHUB_CRASH_POINT("reader.release.begun");
  bool unchanged = true;
  ReadFence();
  for (uint32_t i = 0; i < held_count_; ++i) {
    unchanged = IsUnchanged(held_[i]) && unchanged;
    // Release, edge B: the payload was read before the pin goes.
    if (access_ == Access::kPinned) entry_->pins[i].store(0, std::memory_order_release);
    PYLABHUB_CRASH_POINT("reader.release.slot_let_go");
    if (turn_ == Turn::kShared) FinishClaimed(held_[i].sequence);
  }
  held_count_ = 0;
  PYLABHUB_CRASH_POINT("reader.release.pin_gone");
  PublishCursor();
  return unchanged ? SlotResult::kOk : SlotResult::kOverrun;
}

void RingReader::WakeProducer() {
  // A member is not waited for by itself: FinishClaimed.
  if (member_.has_value()) return;
  // Edge W: the cursor was stored before this fence, and who sleeps is read after it.
  FullFence();
  const ProducerWait& wait = view_.header->wait;
  const bool waits_for_me = wait.waiting_place.load(std::memory_order_relaxed) == place_ + 1;
  const uint64_t waiting_cursor = wait.waiting_cursor.load(std::memory_order_relaxed);
  if (!waits_for_me || expected_ < waiting_cursor) return;
  // Once is enough: a producer that was not asleep yet sees that the cursor has come so far, and does not wait for it
  // again. Until it runs it still says that it waits.
  if (woken_for_cursor_ == waiting_cursor) return;
  woken_for_cursor_ = waiting_cursor;
  PYLABHUB_CRASH_POINT("reader.wake.producer_waits");
  FutexWakeAll(LowHalf(entry_->cursor));
  PYLABHUB_CRASH_POINT("reader.wake.woken");
}

void RingReader::BeginSleep() {
  if (turn_ == Turn::kShared) MoveTo(PassClaimed());
  // The producer wakes whoever sleeps at the slot that its cursor names.
  PublishCursor();
  wait_state_before_ = wait_state_;
  SetWaitState(kSleeping);
}

void RingReader::SetWaitState(uint32_t state) {
  if (state == kSleeping) slots_since_sleep_ = 0;
  wait_state_ = state;
  entry_->wait_state.store(state, std::memory_order_relaxed);
  PYLABHUB_CRASH_POINT("reader.sleep.state_said");
  if (state == kSleeping) FullFence();  // edge W
}

void RingReader::CountWait(bool slept) {
  entry_->waits.store(++waits_, std::memory_order_relaxed);
  PYLABHUB_CRASH_POINT("reader.wait.counted");
  if (slept) entry_->sleeps.store(++sleeps_, std::memory_order_relaxed);
  PYLABHUB_CRASH_POINT("reader.wait.sleep_counted");
}

}  // namespace pylabhub::shm
