// The reading half of the ring: takes slots from a data segment and tells the producer, in its own control
// entry, how far it has come. ring_writer.h draws the protocol. Never waits; the words to wait on are here.
//
// Going to sleep, edge W:
//
//   consumer                                              producer
//   1. cursor = c; wait_state = sleeping                  1. store the stamp
//   2. full fence                                         2. wait_state != awake? full fence
//   3. look at slot c again     <------------ W ------->  3. wait_state == sleeping, and c committed?
//   4. futex wait on its stamp                               futex wake on the stamp of slot c
//
// A producer whose consumers are all awake does not fence, so a consumer that goes from awake to sleeping may
// be missed once. Therefore its first sleep is short (kFirstSleep); it stays at may-sleep, which the producer
// sees by then, until it has found many slots without sleeping.
//
// Thread safety: thread-compatible; it belongs to the consumer's thread.
// Ownership:     points into segments that outlive it.
#ifndef PYLABHUB_SHM_RING_RING_READER_H_
#define PYLABHUB_SHM_RING_RING_READER_H_

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "shm/os/fork_guard.h"
#include "shm/read_order.h"
#include "shm/ring/group_claims.h"
#include "shm/segment/data_segment.h"
#include "shm/segment/layout.h"
#include "shm/slot_result.h"

namespace pylabhub::shm {

// What a consumer holds of a slot.
struct SlotView {
  std::span<const std::byte> payload;
  uint64_t sequence = 0;
  int64_t timestamp_ns = 0;
  uint64_t missed_slots = 0;
  std::optional<uint64_t> checksum = std::nullopt;  // of the payload, as its producer says
  bool redelivered = false;                         // a member of the group that is dead had it before
};

// Where a reader begins, and how many slots before that it was entitled to and will not get.
struct StartingPoint {
  uint64_t sequence = 0;
  uint64_t missed_slots = 0;
  // Nothing from `sequence` on was written before the producer could see the consumer; or the producer holds it back.
  bool at_head = false;
};

// What a reader is to its producer.
struct ReaderSetup {
  uint32_t place = 0;
  ReadOrder order = ReadOrder::kNext;
  StartingPoint start = {};
  // Once it knows of this consumer, the producer never writes over a slot that this one has not released. It does when it
  // has acknowledged its place.
  bool waited_for_without_end = false;
  // Edge J does not hold: others may keep the producer from hearing of this consumer, until it has acknowledged its place.
  bool may_be_unheard = false;
  // Slots that may be held at once: so many pins are declared in its entry, if it needs any.
  uint32_t max_batch = 1;
  uint32_t max_pinned = kPinsPerConsumer;  // of those, as long as they need pins
  // Of a group: it reads the slots that nobody else of that group has.
  std::optional<GroupMember> member = std::nullopt;
};

class RingReader {
 public:
  // `entry` is this consumer's own, the one at setup.place, in which nobody else writes.
  RingReader(const DataView& view, ConsumerEntry* entry, ReaderSetup setup);

  // Takes the next slot (or the newest, as the order says). kOk; kTimeout if there is none yet; kCorrupt if
  // its descriptor makes no sense, or (Checksum::kEnforced) its payload has no checksum or another one: it is skipped,
  // and counts as missed. Not while a slot is held.
  SlotResult TryAcquire(SlotView* slot) {
    if (access_ != Access::kInPlace) {
      if (may_settle_) TrySettle();
      // Acquire: whatever the producer did before it cut this consumer off.
      if (IsCutOff(std::memory_order_acquire)) [[unlikely]]
        return SlotResult::kCutOff;
    }
    if (turn_ == Turn::kNext) return TryAcquireNext(slot);
    return turn_ == Turn::kLatest ? TryAcquireLatest(slot) : TryAcquireShared(slot);
  }
  // The same, for as many slots as are there, up to slots.size() and max_batch(). `taken` of them are held: at least one
  // if the result is kOk, else none.
  SlotResult TryAcquireBatch(std::span<SlotView> slots, size_t* taken);
  bool holding() const { return held_count_ != 0; }
  uint32_t max_batch() const { return static_cast<uint32_t>(held_.size()); }
  // True if TryAcquire would answer something else than kTimeout now: a look that takes nothing, for who waits on many
  // channels. By the time of the TryAcquire an overwriting producer may have overtaken it.
  bool IsReady() const;

  // Gives every held slot back. kOverrun if one changed while it was held; kForked, in a child that was forked
  // meanwhile, touches nothing.
  SlotResult Release();

  // Compares the payload of a held slot with its checksum. kOk; kCorrupt, which is counted once for a slot; kNoChecksum;
  // kForked.
  SlotResult Verify(const SlotView& slot);

  // For a consumer that has waited long, or whose producer is gone: looks for what no commit tells of. True if TryAcquire has
  // something to say now. The expected slot was overwritten, which a producer that waits for its consumers does only to one
  // that it does not know; the reader has moved on then. Or this consumer was cut off while it read in place, and nothing of
  // what it expected has changed since. For a member of a group: true if there is a slot that nobody holds who lives, for which
  // it asks the kernel; it is what the next TryAcquire takes.
  bool LookBack();

  // The number of the slot that is read next (kNext), or the least that is (kLatest).
  uint64_t expected_sequence() const { return expected_; }
  // Slots committed so far.
  uint64_t head() const {
    return std::min(view_.header->progress.head.load(std::memory_order_acquire), kMaxHead);
  }
  // True if the producer said that nothing will follow, and all that it committed was taken and reported; by a group: and
  // released.
  bool drained() const {
    if (corrupt_unreported_) return false;
    const uint64_t closed_at = view_.header->wait.closed_at.load(std::memory_order_acquire);
    if (closed_at == 0) return false;
    return member_.has_value() ? member_->AllDoneBelow(closed_at - 1) : expected_ + 1 >= closed_at;
  }
  // After the end of the producer, for who has found nothing to read: false while others of the group hold slots of it.
  bool NothingWillCome() const {
    return !member_.has_value() || member_->AllDoneBelow(CommittedSlots(view_));
  }

  // For sleeping: sets or clears "wake me", and the word that the next commit changes.
  // Not while a slot is held. `told`: the sleep was long enough for the producer to see from now on that this consumer may
  // sleep.
  void BeginSleep();
  void EndSleep(bool told) { SetWaitState(told || wait_state_before_ != kAwake ? kMaySleep : kAwake); }
  // After BeginSleep, and after a look at that word: true if the slot that is waited for has come and another member of the
  // group was faster, so that the word may not change any more.
  bool WasPassed() const { return turn_ == Turn::kShared && PassClaimed() != expected_; }
  const std::atomic<uint64_t>& expected_stamp() const { return CellOf(expected_)->stamp; }
  // False until a sleep has begun: then the first must be short.
  bool producer_knows_of_sleeps() const { return wait_state_ != kAwake; }
  void CountWait(bool slept);

 private:
  // What was read from a descriptor, privately.
  struct Descriptor {
    uint64_t payload_bytes;
    int64_t timestamp_ns;
    uint32_t chunk;
    bool has_checksum;
    uint64_t checksum;
  };
  // A slot that was taken and not released yet.
  struct Held {
    const SlotDescriptor* cell;
    uint64_t sequence;
    uint32_t chunk;
  };
  // Whose turn it is to be read.
  enum class Turn : uint8_t {
    kNext,
    kLatest,
    kShared,  // the next one that nobody of the group has
  };
  enum class Access : uint8_t {
    kInPlace,  // the producer waits for the cursor
    kPinned,   // the producer does not wait, and leaves pinned chunks alone
    kCopied,   // the producer does not wait, and the payload is small
    kNone,     // it has found out that it is cut off
  };

  const SlotDescriptor* CellOf(uint64_t sequence) const {
    return At<SlotDescriptor>(view_.base, geometry_.cells_offset_bytes + sequence % geometry_.capacity_slots *
                                                                             geometry_.cell_stride_bytes);
  }
  const SlotDescriptor* cell() const { return At<SlotDescriptor>(view_.base, cell_offset_bytes_); }

  // No producer ever comes so far. A head that says more is damaged, and a reader that followed it would see numbers
  // come to their end and begin anew.
  static constexpr uint64_t kMaxHead = uint64_t{1} << 63;

  SlotResult TryAcquireNext(SlotView* slot);
  SlotResult TryAcquireLatest(SlotView* slot);
  // The number after the newest slot's; at most expected_ if there is nothing new.
  uint64_t FindNewest() const;
  // For what follows in a batch.
  SlotResult TakeIfThere(SlotView* slot);
  SlotResult TryAcquireShared(SlotView* slot);
  bool HasUnclaimed() const;
  uint64_t PassClaimed() const { return member_->PassClaimed(expected_, view_.header->progress.head); }
  bool FindAbandoned();
  SlotResult TakeAbandoned(SlotView* slot);
  SlotResult TakeClaimed(const GroupMember::Claim& claim, SlotView* slot);
  void FinishClaimed(uint64_t sequence);
  bool IsCommitted(uint64_t sequence) const {
    return CellOf(sequence)->stamp.load(std::memory_order_acquire) == sequence + 1;
  }
  bool WasLapped(uint64_t stamp) const;
  bool IsBehind() const;
  void SkipLap();
  void Settle();
  void TrySettle();
  // True if the producer gives it nothing any more: it was too slow, or its part was replaced.
  bool IsCutOff(std::memory_order order) const {
    return access_ == Access::kNone || record_->cut_off_state.load(order) >= state_;
  }
  // For who reads in place, and so does not ask before each slot. True if it is cut off; it reads no slot any more then.
  bool FindCutOff();
  // Reads `sequence` from `cell`, whose stamp said that it is there. kTimeout if it was overwritten
  // meanwhile.
  SlotResult Take(const SlotDescriptor* cell, uint64_t sequence, SlotView* slot);
  // The same, in one piece with its caller.
  SlotResult TakeHere(const SlotDescriptor* cell, uint64_t sequence, SlotView* slot);
  std::span<const std::byte> Payload(const SlotDescriptor* cell, const Descriptor& descriptor);
  // What TryAcquire says of a slot that is there and is not to be used. Moves on.
  SlotResult SkipCorrupt(uint64_t sequence);
  void CountCorrupt(uint64_t sequence);
  // Where the copy of the slot goes that is taken next.
  std::byte* copy() { return reinterpret_cast<std::byte*>(copies_.data() + held_count_ * copy_words_); }
  Descriptor Load(const SlotDescriptor* cell) const;
  bool IsSound(const Descriptor& descriptor) const;
  // Makes sure of what was read from `cell`: false if it was overwritten meanwhile.
  bool Secure(const SlotDescriptor* cell, const Descriptor& descriptor, uint64_t sequence);
  // Edge T: true if nothing that was read from the cell of `sequence` can be newer than it.
  bool WasNotOverwritten(const SlotDescriptor* cell, uint64_t sequence) const;
  bool IsUnchanged(const Held& held) const;
  void MoveTo(uint64_t sequence);
  void PublishCursor();
  void WakeProducer();
  void SetWaitState(uint32_t state);

  DataView view_;
  Geometry geometry_;
  uint64_t generation_ = ForkGeneration();
  ConsumerEntry* entry_;
  uint32_t place_;
  const PlaceRecord* record_;  // what the producer says about this consumer
  uint64_t state_;             // of the entry, while this consumer has it
  ReadOrder order_;
  Turn turn_;
  Access access_;
  uint32_t max_pinned_;
  bool may_settle_;  // it will read in place when the producer knows of it
  Checksum checksum_;
  std::optional<GroupMember> member_;
  bool look_back_ = false;  // FindAbandoned found something

  uint64_t expected_;               // behind what is held
  uint64_t cell_offset_bytes_ = 0;  // of the cell of expected_
  uint64_t cells_end_offset_bytes_;
  uint64_t missed_before_ = 0;  // slots passed over since the last one that was taken
  std::vector<Held> held_;      // held_count_ of them; pin i belongs to number i
  uint32_t held_count_ = 0;
  bool corrupt_unreported_ = false;  // it came behind others in a batch
  std::vector<uint64_t> copies_;     // of small payloads, one for each that may be held
  size_t copy_words_ = 0;

  uint64_t woken_for_cursor_ = 0;  // the last cursor for which the producer was woken; never 0
  uint32_t wait_state_ = kAwake;
  uint32_t wait_state_before_ = kAwake;  // before BeginSleep
  uint32_t slots_since_sleep_ = 0;
  uint64_t received_slots_ = 0;
  uint64_t received_bytes_ = 0;
  uint64_t missed_slots_ = 0;
  uint64_t redelivered_slots_ = 0;
  uint64_t waits_ = 0;
  uint64_t sleeps_ = 0;
  uint64_t corrupt_slots_ = 0;
  uint64_t last_corrupt_ = 0;  // 1 + the number of the slot that was counted last; 0: none
};

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_RING_RING_READER_H_
