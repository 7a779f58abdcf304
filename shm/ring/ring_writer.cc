#include "shm/ring/ring_writer.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <memory>
#include <thread>

#include "shm/os/crash_point.h"
#include "shm/os/full_fence.h"
#include "shm/os/futex.h"
#include "shm/ring/cache_hint.h"
#include "shm/ring/checksum.h"
#include "shm/ring/inline_payload.h"
#include "shm/segment/layout.h"

namespace pylabhub::shm {
namespace {

// What surely fits into the cache that a core has to itself.
constexpr uint64_t kCacheBytes = uint64_t{512} * 1024;
constexpr uint64_t kUnlimited = std::numeric_limits<uint64_t>::max();
// What somebody needs who is going to sleep, unless it is stopped just then.
constexpr std::chrono::milliseconds kFarewell{1};
// Instead of a time stamp: that of the moment.
constexpr int64_t kNow = std::numeric_limits<int64_t>::min();

}  // namespace

RingWriter::RingWriter(const DataSegment& segment, const ChannelConfig& config, ConsumerRoster& roster)
    : segment_(segment),
      geometry_(segment.geometry),
      progress_(&segment.header->progress),
      lossless_(IsLossless(config.policy)),
      endless_patience_(config.max_patience == absl::InfiniteDuration()),
      checksum_(config.checksum),
      roster_(roster),
      acknowledged_revision_(roster.revision()),
      acknowledged_states_(geometry_.place_count, 0),
      limit_(lossless_ ? 0 : kUnlimited),
      cell_offset_bytes_(geometry_.cells_offset_bytes),
      cells_end_offset_bytes_(geometry_.cells_offset_bytes + geometry_.cells_bytes()),
      add_checksums_(checksum_ == Checksum::kEnforced),
      pool_(geometry_.chunk_count, geometry_.chunks_bytes() <= kCacheBytes) {
  if (geometry_.inline_payloads()) {
    MakeStaging(1);
  } else {
    cell_chunks_.assign(geometry_.capacity_slots, ChunkPool::kNone);
    chunks_.reserve(1);
  }
}

void RingWriter::MakeStaging(size_t slots) {
  staging_slots_ = slots;
  staging_stride_bytes_ = geometry_.cell_stride_bytes;
  staging_memory_.resize(slots * staging_stride_bytes_ + kLineBytes);
  void* start = staging_memory_.data();
  size_t room_bytes = staging_memory_.size();
  staging_ =
      static_cast<std::byte*>(std::align(kLineBytes, slots * staging_stride_bytes_, start, room_bytes));
}

bool RingWriter::ExtendLimit() {
  // Edge J: head was stored before this fence, and the roster is read after it.
  FullFence();
  roster_.Refresh(next_);
  const uint64_t cursor = roster_.FindSlowest(next_).cursor;
  PublishNewRosterCounters();
  limit_ = (cursor == kUnlimited ? next_ : cursor) + geometry_.capacity_slots;
  return next_ < limit_;
}

void RingWriter::Acknowledge() {
  if (lossless_) ExtendLimit();
  PublishNewRosterCounters();
  acknowledged_revision_ = roster_.revision();
  uint32_t next = 0;
  const auto forget_below = [&](uint32_t end) {
    for (; next < end; ++next) TellPlace(next, 0, 0);
  };
  roster_.TellKnown([&](const ConsumerRoster::Known& known) {
    forget_below(known.index);
    // Who will read in place needs pins no more.
    const bool settles = lossless_ && endless_patience_ && known.waits_long;
    TellPlace(known.index, known.state, settles ? 0 : known.pins);
    next = known.index + 1;
  });
  forget_below(geometry_.place_count);
}

void RingWriter::TellPlace(uint32_t place, uint64_t state, uint32_t pins) {
  if (acknowledged_states_[place] == state) return;
  acknowledged_states_[place] = state;
  PlaceRecord& record = segment_.places()[place];
  record.pins.store(pins, std::memory_order_relaxed);
  PYLABHUB_CRASH_POINT("ring.member.pins_said");
  // Release: who sees it sees every stamp that was withdrawn before.
  record.acknowledged_state.store(state, std::memory_order_release);
  PYLABHUB_CRASH_POINT("ring.member.acknowledged");
}

void RingWriter::RenewPart(size_t index, const ControlView& fresh) {
  for (uint32_t place = fresh.first_place(); place < fresh.end_place(); ++place) {
    PlaceRecord& record = segment_.places()[place];
    record.token.store(kNotReserved, std::memory_order_relaxed);
    PYLABHUB_CRASH_POINT("ring.renew.place_given_up");
    // Release, and before anything is written over that was held for it: no state of the part that is replaced is above this one.
    record.cut_off_state.store(StateOf(0, Phase::kFree, fresh.shape.renewals), std::memory_order_release);
    PYLABHUB_CRASH_POINT("ring.renew.cut_off");
  }
  roster_.Renew(index, fresh, next_);
  Acknowledge();
  PYLABHUB_CRASH_POINT("ring.renew.told");
}

bool RingWriter::TryAcquireBatch(size_t slots) {
  if (!HasRoom()) return false;
  slots = std::min<size_t>(slots, geometry_.capacity_slots);
  // What is known of the cursors may be old.
  if (limit_ - next_ < slots && !ExtendLimit()) return false;
  const auto count = static_cast<uint32_t>(std::min<uint64_t>(slots, limit_ - next_));
  if (!geometry_.inline_payloads()) return AcquireChunks(count);
  if (count > staging_slots_) MakeStaging(count);
  prepared_count_ = count;
  return true;
}

bool RingWriter::AcquireChunks(uint32_t slots) {
  if (lossless_ && !pool_.HasWarm(slots)) {
    FullFence();
    roster_.Refresh(next_);
    RetireReadSlots(roster_.FindSlowest(next_).cursor);
  } else if (!lossless_) {
    // One chunk is spare.
    WithdrawOldest(next_ + slots - 1);
  }
  for (; prepared_count_ < slots; ++prepared_count_) {
    const uint32_t chunk = pool_.Take(roster_, next_);
    if (chunk == ChunkPool::kNone) break;
    chunks_.push_back(chunk);
    // Relaxed, and before any byte of the payload: a consumer that still reads this chunk, which no correct producer
    // lets happen, can tell.
    At<std::atomic<uint64_t>>(segment_.base, geometry_.chunk_sequences_offset_bytes)[chunk].store(
        next_ + prepared_count_ + 1, std::memory_order_relaxed);
    PYLABHUB_CRASH_POINT("ring.acquire.chunk_numbered");
  }
  PublishNewRosterCounters();
  WriteFence();
  return prepared_count_ != 0;
}

// Takes the slots whose cells the slots below `below` will take out of the ring.
void RingWriter::WithdrawOldest(uint64_t below) {
  while (retired_below_ + geometry_.capacity_slots < below) {
    const uint64_t index = retired_below_ % geometry_.capacity_slots;
    // Relaxed: the pool fences before it looks for pins (edge P).
    At<SlotDescriptor>(segment_.base, geometry_.cells_offset_bytes + index * geometry_.cell_stride_bytes)
        ->stamp.store(kNoSlot, std::memory_order_relaxed);
    PYLABHUB_CRASH_POINT("ring.batch.oldest_withdrawn");
    pool_.Retire(cell_chunks_[index]);
    ++retired_below_;
  }
}

// Gives the chunks of slots that everybody has read back while they are still in the cache. The newest slot
// stays: a consumer that reads the latest may come for it at any time.
void RingWriter::RetireReadSlots(uint64_t slowest_cursor) {
  while (retired_below_ < slowest_cursor && retired_below_ + 1 < next_) {
    const uint64_t index = retired_below_ % geometry_.capacity_slots;
    auto* read =
        At<SlotDescriptor>(segment_.base, geometry_.cells_offset_bytes + index * geometry_.cell_stride_bytes);
    // Relaxed: the pool fences before it looks for pins (edge P).
    read->stamp.store(kNoSlot, std::memory_order_relaxed);
    PYLABHUB_CRASH_POINT("ring.retire.stamp_withdrawn");
    pool_.Retire(cell_chunks_[index]);
    ++retired_below_;
  }
}

// The cell of next_ is about to be reused: the chunk of the slot in it, if it still has one, goes out of the
// ring.
void RingWriter::RetireOverwrittenSlot() {
  if (next_ < geometry_.capacity_slots + retired_below_) return;
  pool_.Retire(cell_chunks_[next_ % geometry_.capacity_slots]);
  ++retired_below_;
}

[[gnu::always_inline]] inline void RingWriter::Publish(uint32_t index, uint64_t payload_bytes,
                                                       int64_t timestamp_ns) {
  SlotDescriptor* const written = cell();
  const bool in_cell = geometry_.inline_payloads();
  // Of the bytes that were written, not of those that a slot has room for.
  const uint64_t checksum = add_checksums_ ? ChecksumOf({payload_base(index), payload_bytes}) : 0;
  // Relaxed, edge T: the stores below are releases, so whoever sees one of them sees that the stamp is withdrawn.
  written->stamp.store(kNoSlot, std::memory_order_relaxed);
  PYLABHUB_CRASH_POINT("ring.commit.stamp_withdrawn");
  // The payload first: a consumer that waits looks at the descriptor's line again and again, and would take it
  // away in between.
  uint32_t chunk = kInlineChunk;
  if (in_cell) {
    StoreInline(reinterpret_cast<std::byte*>(written + 1), payload_base(index), payload_bytes);
  } else {
    chunk = chunks_[index];
    RetireOverwrittenSlot();
    cell_chunks_[next_ % geometry_.capacity_slots] = chunk;
  }
  if (checksum_ != Checksum::kNone) {
    written->flags.store(add_checksums_ ? kHasChecksum : 0, std::memory_order_release);
    PYLABHUB_CRASH_POINT("ring.commit.flags_written");
    written->checksum.store(checksum, std::memory_order_release);
    PYLABHUB_CRASH_POINT("ring.commit.checksum_written");
  }
  written->payload_bytes.store(payload_bytes, std::memory_order_release);
  PYLABHUB_CRASH_POINT("ring.commit.bytes_written");
  written->chunk.store(chunk, std::memory_order_release);
  PYLABHUB_CRASH_POINT("ring.commit.chunk_named");
  // The time last: reading the clock lets the stores above reach the cache before the stamp tells of them.
  written->timestamp_ns.store(timestamp_ns != kNow ? timestamp_ns : clock_.NowNanos(),
                              std::memory_order_release);
  PYLABHUB_CRASH_POINT("ring.commit.time_written");
  ++next_;
  // Release, edge A.
  written->stamp.store(next_, std::memory_order_release);
  PYLABHUB_CRASH_POINT("ring.commit.stamped");
  committed_bytes_ += payload_bytes;
  cell_offset_bytes_ += geometry_.cell_stride_bytes;
  if (cell_offset_bytes_ == cells_end_offset_bytes_) cell_offset_bytes_ = geometry_.cells_offset_bytes;
}

[[gnu::always_inline]] inline void RingWriter::Announce() {
  prepared_count_ = 0;
  add_checksums_ = checksum_ == Checksum::kEnforced;
  chunks_.clear();
  // Release: who jumps to head - 1 finds its descriptor written.
  progress_->head.store(next_, std::memory_order_release);
  PYLABHUB_CRASH_POINT("ring.commit.head_moved");
  // Relaxed: a counter.
  progress_->committed_bytes.store(committed_bytes_, std::memory_order_relaxed);
  PYLABHUB_CRASH_POINT("ring.commit.bytes_counted");
  roster_.Refresh(next_);
  if (acknowledged_revision_ != roster_.revision()) [[unlikely]]
    Acknowledge();
  if (roster_.AnyMaySleep()) [[unlikely]]
    WakeSleepers();
}

SlotResult RingWriter::Commit(uint64_t payload_bytes) {
  if (generation_ != ForkGeneration()) [[unlikely]]
    return SlotResult::kForked;
  if (payload_bytes > geometry_.slot_bytes) {
    Abort();
    return SlotResult::kTooLarge;
  }
  PYLABHUB_CRASH_POINT("ring.commit.begun");
  const SlotDescriptor* const written = cell();
  Publish(0, payload_bytes, kNow);
  // Measured: a small round trip is 5 to 10 % shorter for it, a small stream 1.6 times as fast. Of the payload's
  // line only; for the stamp's it does nothing, and a cursor's must stay where it is. Not in a batch, whose reader is
  // lines behind and has them fetched ahead: it would be slower by a fifth.
  if (geometry_.inline_payloads()) DemoteLine(written + 1);
  Announce();
  return SlotResult::kOk;
}

SlotResult RingWriter::CommitBatch(std::span<const size_t> payload_bytes) {
  if (generation_ != ForkGeneration()) [[unlikely]]
    return SlotResult::kForked;
  const auto too_large = [this](size_t bytes) { return bytes > geometry_.slot_bytes; };
  if (std::any_of(payload_bytes.begin(), payload_bytes.end(), too_large)) {
    Abort();
    return SlotResult::kTooLarge;
  }
  const auto count = static_cast<uint32_t>(payload_bytes.size());
  if (count < prepared_count_) AbortFrom(count);
  if (count == 0) return SlotResult::kOk;
  const int64_t timestamp_ns = clock_.NowNanos();
  for (uint32_t i = 0; i < count; ++i) Publish(i, payload_bytes[i], timestamp_ns);
  Announce();
  return SlotResult::kOk;
}

void RingWriter::Abort() {
  if (generation_ != ForkGeneration()) return;
  AbortFrom(0);
  add_checksums_ = checksum_ == Checksum::kEnforced;
}

void RingWriter::AbortFrom(uint32_t index) {
  PYLABHUB_CRASH_POINT("ring.abort.begun");
  aborted_slots_ += prepared_count_ - index;
  prepared_count_ = index;
  while (chunks_.size() > index) {
    pool_.Return(chunks_.back());
    chunks_.pop_back();
  }
  progress_->aborted_slots.store(aborted_slots_, std::memory_order_relaxed);
  PYLABHUB_CRASH_POINT("ring.abort.counted");
}

void RingWriter::WakeSleepers() {
  // Edge W: the stamps were stored before this fence, and who sleeps is read after it.
  FullFence();
  bool all = true;
  for (const ConsumerRoster::Sleepers& sleepers : roster_.FindSleepers(next_)) {
    PYLABHUB_CRASH_POINT("ring.wake.sleeper_seen");
    // Each sleeps on the stamp of the slot that it waits for.
    const int woken = FutexWakeAll(LowHalf(CellOf(sleepers.cursor)->stamp));
    PYLABHUB_CRASH_POINT("ring.wake.woken");
    progress_->wakes.store(++wakes_, std::memory_order_relaxed);
    PYLABHUB_CRASH_POINT("ring.wake.counted");
    if (woken >= sleepers.count) {
      roster_.NoteWoken(sleepers);
    } else {
      all = false;
    }
  }
  PublishNewRosterCounters();
  if (all) return;
  // Somebody who says that it sleeps does not: it is about to, has just woken, or is dead. The dead would
  // cost a system call for every slot.
  PYLABHUB_CRASH_POINT("ring.wake.nobody_slept");
  roster_.EvictDeadSleepers();
  PublishNewRosterCounters();
  PYLABHUB_CRASH_POINT("ring.wake.dead_evicted");
}

void RingWriter::GiveUpOn(uint32_t index, WhenSlow how) {
  const uint64_t state = roster_.GiveUpOn(index, how, next_);
  if (state == 0) return;
  PlaceRecord& record = segment_.places()[index];
  if (how == WhenSlow::kCutOff) {
    // Release: the consumer that sees it knows that it is not waited for any more.
    record.cut_off_state.store(state, std::memory_order_release);
    PYLABHUB_CRASH_POINT("ring.slow.cut_off");
    progress_->cut_off_consumers.store(++cut_off_consumers_, std::memory_order_relaxed);
    PYLABHUB_CRASH_POINT("ring.slow.cut_off_counted");
    return;
  }
  record.waited_from.store(next_, std::memory_order_relaxed);
  PYLABHUB_CRASH_POINT("ring.slow.new_start_said");
  record.dropped_state.store(state, std::memory_order_release);
  PYLABHUB_CRASH_POINT("ring.slow.dropped");
  progress_->dropped_backlogs.store(++dropped_backlogs_, std::memory_order_relaxed);
  PYLABHUB_CRASH_POINT("ring.slow.drop_counted");
}

void RingWriter::CountWaitFor(uint32_t index, int64_t blocked_ns) {
  std::atomic<uint64_t>& counter = segment_.places()[index].blocked_ns;
  counter.store(counter.load(std::memory_order_relaxed) + static_cast<uint64_t>(blocked_ns),
                std::memory_order_relaxed);
  PYLABHUB_CRASH_POINT("ring.wait.blocker_counted");
}

void RingWriter::Close() {
  // Release: who sees the channel closed sees every slot.
  PYLABHUB_CRASH_POINT("ring.close.begun");
  segment_.header->wait.closed_at.store(next_ + 1, std::memory_order_release);
  PYLABHUB_CRASH_POINT("ring.close.recorded");
  WakeForTheEnd();
  PYLABHUB_CRASH_POINT("ring.close.woken");
}

// The end changes no stamp, since the cell of the next slot may hold one that is still read. So who has looked for the end a
// moment before it came, and sleeps a moment after a wake, would sleep for its whole slice: it is woken until it was there.
void RingWriter::WakeForTheEnd() {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point until = Clock::now() + kFarewell;
  // Edge W: the end was stored before this fence, and who sleeps is read after it: who is not seen to sleep sees the end.
  FullFence();
  roster_.LookAtAll(next_);
  const int sleepers = roster_.CountSleepersFor(next_);
  int woken = FutexWakeAll(LowHalf(cell()->stamp));
  // The dead say for ever that they sleep.
  if (woken < sleepers) roster_.EvictDeadSleepers();
  while (woken < sleepers && roster_.CountSleepersFor(next_) != 0 && Clock::now() < until) {
    std::this_thread::yield();
    woken += FutexWakeAll(LowHalf(cell()->stamp));
  }
}

void RingWriter::CountWait(int64_t blocked_ns) {
  blocked_ns_ += static_cast<uint64_t>(blocked_ns);
  progress_->waits.store(++waits_, std::memory_order_relaxed);
  PYLABHUB_CRASH_POINT("ring.wait.counted");
  progress_->blocked_ns.store(blocked_ns_, std::memory_order_relaxed);
  PYLABHUB_CRASH_POINT("ring.wait.time_counted");
  PublishRosterCounters();
}

void RingWriter::PublishNewRosterCounters() {
  if (roster_.evicted_consumers() != published_evictions_ ||
      roster_.invalid_values() != published_invalid_values_) [[unlikely]]
    PublishRosterCounters();
}

void RingWriter::PublishRosterCounters() {
  published_evictions_ = roster_.evicted_consumers();
  published_invalid_values_ = roster_.invalid_values();
  progress_->evicted_consumers.store(published_evictions_, std::memory_order_relaxed);
  PYLABHUB_CRASH_POINT("ring.counters.evicted_published");
  progress_->invalid_peer_values.store(published_invalid_values_, std::memory_order_relaxed);
  PYLABHUB_CRASH_POINT("ring.counters.published");
}

}  // namespace pylabhub::shm
