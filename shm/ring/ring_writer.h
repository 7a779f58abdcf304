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
  RingWriter(const DataSegment& segment, bool lossless, ConsumerRoster& roster);

  // Prepares the next slot. False if it would overwrite what a consumer has not read (lossless), or if every
  // chunk is in use. At most one slot is prepared at a time.
  bool TryAcquire() {
    if (next_ >= limit_ && !ExtendLimit()) return false;
    if (!staging_.empty()) {
      prepared_ = true;
      return true;
    }
    return AcquireChunk();
  }
  bool prepared() const { return prepared_; }
  // Where the prepared slot's payload goes: slot_bytes, aligned to 64.
  std::span<std::byte> payload() const { return payload_; }

  // Publishes the prepared slot, and wakes those who sleep for it. kTooLarge aborts instead; kForked, in a
  // child that was forked meanwhile, touches nothing.
  SlotResult Commit(uint64_t payload_bytes);
  // Forgets the prepared slot; its number goes to the next one.
  void Abort();

  uint64_t next_sequence() const { return next_; }
  ConsumerRoster& roster() { return roster_; }

  // Who holds back the next slot, for waiting: after TryAcquire said no.
  ConsumerRoster::Slowest FindSlowest() { return roster_.FindSlowest(next_); }
  // Forgets those who hold it back and are dead. True if there were any.
  bool EvictDeadBlockers() { return roster_.EvictDeadBelow(needed_cursor()); }
  // The cursor that lets the next slot be written.
  uint64_t needed_cursor() const { return next_ + 1 - geometry_.capacity_slots; }

  // Records that nothing will follow, and wakes everybody.
  void Close();

  // Adds to the counters that others read.
  void CountWait(int64_t blocked_ns);

 private:
  SlotDescriptor* cell() const { return At<SlotDescriptor>(segment_.base, cell_offset_bytes_); }

  bool ExtendLimit();
  bool AcquireChunk();
  void RetireReadSlots(uint64_t slowest_cursor);
  void RetireOverwrittenSlot();
  void WakeSleepers(const SlotDescriptor* written);
  void PublishRosterCounters();

  DataSegment segment_;
  Geometry geometry_;
  uint64_t generation_ = ForkGeneration();
  ProducerProgress* progress_;
  bool lossless_;
  ConsumerRoster& roster_;
  SlotClock clock_;

  uint64_t next_ = 0;           // the sequence number of the slot to be written
  uint64_t limit_;              // below it, slots may be written without looking at the cursors
  uint64_t cell_offset_bytes_;  // of the cell of next_
  uint64_t cells_end_offset_bytes_;
  bool prepared_ = false;
  std::span<std::byte> payload_;

  std::vector<std::byte> staging_memory_;
  std::span<std::byte> staging_;  // a small payload until its commit; empty if payloads have chunks

  ChunkPool pool_;
  uint32_t chunk_ = kInlineChunk;      // of the prepared slot
  std::vector<uint32_t> cell_chunks_;  // by cell: the chunk that its descriptor names
  uint64_t retired_below_ = 0;         // slots below it have given their chunks back

  uint64_t committed_bytes_ = 0;
  uint64_t aborted_slots_ = 0;
  uint64_t wakes_ = 0;
  uint64_t waits_ = 0;
  uint64_t blocked_ns_ = 0;
};

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_RING_RING_WRITER_H_
