// The writing half of the ring: moves slots into a data segment that it is handed, and never waits.
//
//   producer                                         consumer
//   1. read cursors (acquire)     <------- B -----   5. store cursor, or take the pin away (release)
//   2. withdraw the stamp         ------- T ----->   4. look at the stamp again: was it overwritten meanwhile?
//   3. write payload, descriptor                     3. read the payload, or copy it
//   4. store the stamp (release)  ------- A ----->   1. load the stamp (acquire)
//   5. store head (release)                          2. pin the chunk (full fence), look at the stamp again
//
// A: a consumer that sees stamp == s + 1 sees every byte of slot s.
// B: a producer that sees cursor == c may write over every slot below c.
// P: either the consumer that has pinned a chunk sees that its descriptor changed, or the producer that looks at
//    the pins (after that change and a full fence) sees the pin.
// T: step 2 withdraws the cell's stamp. A consumer that finds the stamp unchanged after it has copied payload or
//    descriptor, or when it releases what it read in place, has read no newer word.
// W: a consumer that is going to sleep and the producer that commits: see waiting in ring_reader.h.
//
// A small payload is written into a private buffer, and copied into its cell at commit: a producer that dies
// or aborts while it writes has touched nothing. A large one is written in place, into a chunk that no
// descriptor names.
//
// Thread safety: thread-compatible; it belongs to the producer's thread.
// Ownership:     points into a segment and a roster that outlive it.
#ifndef PYLABHUB_SHM_RING_RING_WRITER_H_
#define PYLABHUB_SHM_RING_RING_WRITER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "shm/channel_config.h"
#include "shm/os/fork_guard.h"
#include "shm/ring/chunk_pool.h"
#include "shm/ring/consumer_roster.h"
#include "shm/ring/slot_clock.h"
#include "shm/segment/data_segment.h"
#include "shm/slot_result.h"

namespace pylabhub::shm {

class RingWriter {
 public:
  RingWriter(const DataSegment& segment, const ChannelConfig& config, ConsumerRoster& roster);

  // Prepares the next slot. False if it would overwrite what a consumer has not read (lossless), or if every
  // chunk is in use. Not while slots are prepared.
  bool TryAcquire() {
    if (!HasRoom()) return false;
    if (geometry_.inline_payloads()) {
      prepared_count_ = 1;
      return true;
    }
    return AcquireChunks(1);
  }
  // The same for up to `slots` slots, and at most capacity_slots: as many as can be had. An overwriting writer of large
  // slots withdraws those that they will take the place of.
  bool TryAcquireBatch(size_t slots);
  bool prepared() const { return prepared_count_ != 0; }
  uint32_t prepared_count() const { return prepared_count_; }
  // Where the payload of prepared slot `index` goes: slot_bytes, aligned to 64.
  std::span<std::byte> payload(uint32_t index = 0) const {
    return {payload_base(index), geometry_.slot_bytes};
  }

  // Publishes the prepared slot, and wakes those who sleep for it. kTooLarge aborts instead; kForked, in a
  // child that was forked meanwhile, touches nothing.
  SlotResult Commit(uint64_t payload_bytes);
  // Publishes the first of the prepared slots, one for each member of `payload_bytes`, in order, and aborts the others.
  SlotResult CommitBatch(std::span<const size_t> payload_bytes);
  // Forgets the prepared slots; their numbers go to the next ones.
  void Abort();
  // Checksum::kManual: the prepared slots get checksums at their commit.
  void AddChecksums() { add_checksums_ = checksum_ != Checksum::kNone; }

  uint64_t next_sequence() const { return next_; }
  ConsumerRoster& roster() { return roster_; }

  // Who holds back the next slot, for waiting: after TryAcquire said no.
  ConsumerRoster::Slowest FindSlowest() { return roster_.FindSlowest(next_); }
  // The part at `index` was replaced by a fresh one: who was there is told that it gets nothing any more, and forgotten. Not
  // while slots are prepared.
  void RenewPart(size_t index, const ControlView& fresh);
  // Forgets those who hold it back and are dead. True if there were any.
  bool EvictDeadBlockers() { return roster_.EvictDeadBelow(needed_cursor()); }
  // The cursor that lets the next slot be written.
  uint64_t needed_cursor() const { return next_ + 1 - geometry_.capacity_slots; }

  // Waits no more for the consumer at `index` below the next slot, or at all, and tells it (PlaceRecord).
  void GiveUpOn(uint32_t index, WhenSlow how);

  // Records that nothing will follow, and wakes everybody. Who has said that it sleeps, but does not yet, is given time to: a
  // millisecond at most.
  void Close();

  // Adds to the counters that others read.
  void CountWait(int64_t blocked_ns);
  // Tells them what the roster has counted since, if anything.
  void PublishNewRosterCounters();
  // The part of that for which the consumer at `index` is answerable.
  void CountWaitFor(uint32_t index, int64_t blocked_ns);

 private:
  SlotDescriptor* CellOf(uint64_t sequence) const {
    return At<SlotDescriptor>(
        segment_.base,
        geometry_.cells_offset_bytes + sequence % geometry_.capacity_slots * geometry_.cell_stride_bytes);
  }
  SlotDescriptor* cell() const { return At<SlotDescriptor>(segment_.base, cell_offset_bytes_); }

  bool HasRoom() {
    if (acknowledged_revision_ != roster_.revision()) [[unlikely]]
      Acknowledge();
    return next_ < limit_ || ExtendLimit();
  }
  bool ExtendLimit();
  // Counts those who have joined, and tells them. Not while slots are prepared, which may be written over theirs.
  void Acknowledge();
  void TellPlace(uint32_t place, uint64_t state, uint32_t pins);
  bool AcquireChunks(uint32_t slots);
  std::byte* payload_base(uint32_t index) const {
    return geometry_.inline_payloads() ? staging_ + index * staging_stride_bytes_
                                       : segment_.base + geometry_.chunks_offset_bytes +
                                             chunks_[index] * geometry_.chunk_stride_bytes;
  }
  void AbortFrom(uint32_t index);
  void MakeStaging(size_t slots);
  void WithdrawOldest(uint64_t below);
  // Writes prepared slot `index` into the cell of next_, and steps on to the next cell.
  void Publish(uint32_t index, uint64_t payload_bytes, int64_t timestamp_ns);
  // What follows the last stamp of a commit.
  void Announce();
  void RetireReadSlots(uint64_t slowest_cursor);
  void RetireOverwrittenSlot();
  void WakeSleepers();
  void WakeForTheEnd();
  void PublishRosterCounters();

  DataSegment segment_;
  Geometry geometry_;
  uint64_t generation_ = ForkGeneration();
  ProducerProgress* progress_;
  bool lossless_;
  bool endless_patience_;
  Checksum checksum_;
  ConsumerRoster& roster_;
  SlotClock clock_;

  uint64_t next_ = 0;  // the sequence number of the slot to be written
  uint64_t acknowledged_revision_;
  std::vector<uint64_t> acknowledged_states_;  // by place, as PlaceRecord says them
  uint64_t limit_;              // below it, slots may be written without looking at the cursors
  uint64_t cell_offset_bytes_;  // of the cell of next_
  uint64_t cells_end_offset_bytes_;
  uint32_t prepared_count_ = 0;
  bool add_checksums_;  // to the prepared slots

  std::vector<std::byte> staging_memory_;
  std::byte* staging_ = nullptr;  // small payloads until their commit
  size_t staging_stride_bytes_ = 0;
  size_t staging_slots_ = 0;

  ChunkPool pool_;
  std::vector<uint32_t> chunks_;       // of the prepared slots, if payloads have chunks
  std::vector<uint32_t> cell_chunks_;  // by cell: the chunk that its descriptor names
  uint64_t retired_below_ = 0;         // slots below it have given their chunks back

  uint64_t committed_bytes_ = 0;
  uint64_t aborted_slots_ = 0;
  uint64_t wakes_ = 0;
  uint64_t waits_ = 0;
  uint64_t blocked_ns_ = 0;
  uint64_t dropped_backlogs_ = 0;
  uint64_t cut_off_consumers_ = 0;
  uint64_t published_evictions_ = 0;
  uint64_t published_invalid_values_ = 0;
};

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_RING_RING_WRITER_H_
