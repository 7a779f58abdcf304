// The bytes that processes share: every struct that lies in a data, control or anchor file, with its size and
// offsets pinned. docs/shm_layout.md draws them; a change here is a new kAbiVersion.
//
// A data file is written by its producer alone and mapped read-only by consumers. A control file holds one
// entry for each consumer, written by that consumer; where memory is handed over, each consumer (or group) has a control
// file of its own, a *part*. Both start with a Superblock; the rest is a Boost.Interprocess managed segment. Words of
// different writers are 128 bytes apart, since processors fetch lines in pairs.
//
// Everything is little-endian, atomics are lock-free, and nothing depends on a compiler flag: two builds
// share one segment.
#ifndef PYLABHUB_SHM_SEGMENT_LAYOUT_H_
#define PYLABHUB_SHM_SEGMENT_LAYOUT_H_

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "shm/segment_id.h"

namespace pylabhub::shm {

inline constexpr uint32_t kAbiVersion = 3;
inline constexpr size_t kLineBytes = 64;
inline constexpr size_t kSpacingBytes = 128;
inline constexpr size_t kPageBytes = 4096;
// A payload of up to so many bytes lies beside its descriptor; a larger one has a chunk of its own.
inline constexpr uint64_t kMaxInlineBytes = 1024;
inline constexpr uint32_t kPinsPerConsumer = 16;
inline constexpr uint32_t kMaxGroups = 8;
inline constexpr size_t kGroupNameBytes = 32;  // with the NUL at its end

static_assert(std::endian::native == std::endian::little);
static_assert(std::atomic<uint32_t>::is_always_lock_free && std::atomic<uint64_t>::is_always_lock_free);
static_assert(sizeof(std::atomic<uint32_t>) == 4 && sizeof(std::atomic<uint64_t>) == 8);

// The first bytes of a file, as text: "PLHDATA1" and so on.
inline constexpr uint64_t kDataMagic = 0x3141544144'484C50;     // "PLHDATA1"
inline constexpr uint64_t kControlMagic = 0x314C525443'484C50;  // "PLHCTRL1"
inline constexpr uint64_t kAnchorMagic = 0x3152434E41'484C50;   // "PLHANCR1"

// Page 0 of a data or control file. `magic` is stored last, with release: who sees it sees everything that
// creation wrote.
struct Superblock {
  std::atomic<uint64_t> magic;
  uint32_t abi_version;
  uint32_t reserved;
  uint64_t layout_hash;           // LayoutHash() of the build that created the file
  uint64_t file_bytes;            // of the whole file
  uint64_t managed_offset_bytes;  // where the managed segment starts
  uint64_t header_offset_bytes;   // where its DataHeader or ControlHeader is
  SegmentId segment_id;
};
static_assert(sizeof(Superblock) == 64 && offsetof(Superblock, segment_id) == 48);

// One slot of the ring: this line, then (for small slots) the payload. `stamp` is the sequence number + 1 of
// the slot that the cell holds; kNoSlot while it holds none or is being changed. The other members belong to
// that slot.
inline constexpr uint64_t kNoSlot = 0;
struct alignas(kLineBytes) SlotDescriptor {
  std::atomic<uint64_t> stamp;
  std::atomic<uint64_t> payload_bytes;
  std::atomic<int64_t> timestamp_ns;  // since the Unix epoch
  std::atomic<uint32_t> chunk;        // index of the payload's chunk; kInlineChunk if it follows this line
  std::atomic<uint32_t> flags;        // kHasChecksum
  std::atomic<uint64_t> checksum;     // XXH3, 64 bits, of the payload's bytes; 0 without kHasChecksum
  uint64_t reserved[3];
};
static_assert(sizeof(SlotDescriptor) == 64 && offsetof(SlotDescriptor, chunk) == 24);
inline constexpr uint32_t kInlineChunk = UINT32_MAX;
inline constexpr uint32_t kHasChecksum = 1;

// What the producer has done. Changes with every slot.
struct alignas(kSpacingBytes) ProducerProgress {
  std::atomic<uint64_t> head;  // slots committed: the sequence number of the next one
  std::atomic<uint64_t> committed_bytes;
  std::atomic<uint64_t> aborted_slots;
  std::atomic<uint64_t> waits;
  std::atomic<uint64_t> blocked_ns;
  std::atomic<uint64_t> wakes;
  std::atomic<uint64_t> evicted_consumers;
  std::atomic<uint64_t> invalid_peer_values;
  std::atomic<uint64_t> dropped_backlogs;
  std::atomic<uint64_t> cut_off_consumers;
};
static_assert(sizeof(ProducerProgress) == 128);

// What consumers look at when they release a slot. Changes when the producer goes to sleep or closes.
struct alignas(kSpacingBytes) ProducerWait {
  std::atomic<uint32_t> may_sleep;  // 1: a release must fence, then look at waiting_place
  // 1 + the index of the consumer that the producer sleeps for, kWaitingGroup + that of a group; 0: awake.
  std::atomic<uint32_t> waiting_place;
  std::atomic<uint64_t> waiting_cursor;  // wake it when that consumer's cursor has come so far
  std::atomic<uint64_t> closed_at;       // 1 + the final sequence number's successor (head + 1); 0: open
};
static_assert(sizeof(ProducerWait) == 128);
inline constexpr uint32_t kWaitingGroup = 1 << 16;

struct alignas(kSpacingBytes) DataHeader {
  SegmentId segment_id;
  SegmentId predecessor_id;  // nil for a channel's first segment
  char channel[136];         // ends with NUL
  uint32_t policy;           // Policy
  uint32_t buffering;        // Buffering
  uint32_t capacity_slots;
  uint32_t max_consumers;
  uint32_t max_pins;
  uint32_t min_consumers;
  uint64_t slot_bytes;
  uint64_t cells_offset_bytes;  // capacity_slots cells, each a SlotDescriptor and its inline payload
  uint64_t cell_stride_bytes;
  uint64_t chunks_offset_bytes;  // chunk_count chunks; 0 if payloads are inline
  uint64_t chunk_stride_bytes;
  uint64_t chunk_sequences_offset_bytes;  // for each chunk, 1 + the sequence number of the slot written into
                                          // it last
  uint64_t places_offset_bytes;           // place_count of PlaceRecord
  uint64_t schema_offset_bytes;           // its canonical text
  uint32_t chunk_count;
  uint32_t schema_bytes;
  uint8_t schema_hash[32];
  int64_t created_ns;  // since the Unix epoch
  int64_t reservation_ttl_ns;
  int64_t producer_pid;     // for information only
  int64_t max_patience_ns;  // INT64_MAX: the producer waits for its consumers for ever
  uint32_t checksum;        // Checksum
  uint32_t group_count;
  uint64_t zone_offset_bytes;  // a ZoneHeader and the two copies behind it; 0 without a zone
  uint64_t zone_bytes;         // of one copy
  uint64_t zone_schema_offset_bytes;
  uint32_t zone_schema_bytes;
  uint32_t
      place_count;  // max_consumers; more in a pipeline whose control is in parts, where each group has so many
  uint8_t zone_schema_hash[32];
  char groups[kMaxGroups][kGroupNameBytes];
  ProducerProgress progress;
  ProducerWait wait;
};
static_assert(sizeof(DataHeader) == 1024 && offsetof(DataHeader, max_patience_ns) == 320 &&
              offsetof(DataHeader, groups) == 400 && offsetof(DataHeader, progress) == 768 &&
              offsetof(DataHeader, wait) == 896);

// The flexible zone: two copies, each of zone_bytes rounded up to kSpacingBytes, behind this. Version v (from 1) lies in
// copy v % 2.
struct alignas(kSpacingBytes) ZoneHeader {
  std::atomic<uint64_t> begun;      // the version that is being written, or was written last
  std::atomic<uint64_t> published;  // the version that is to be read; 0: none yet
};
static_assert(sizeof(ZoneHeader) == 128);

// What the producer says about one consumer's place. A successor keeps a place for a consumer of its predecessor: two
// values are no token: the place was never kept, or is not any more; and, its consumer has come.
inline constexpr uint64_t kNotReserved = 0;
inline constexpr uint64_t kReservationTaken = 1;
struct alignas(kLineBytes) PlaceRecord {
  std::atomic<uint64_t> token;
  std::atomic<uint64_t> holds_slots;  // 1: nothing is overwritten before that consumer has come
  // The ConsumerEntry::state of a consumer that was too slow and is not waited for below `waited_from`; 0: nobody was.
  std::atomic<uint64_t> dropped_state;
  std::atomic<uint64_t> waited_from;
  std::atomic<uint64_t>
      cut_off_state;                 // whoever has this state, or had the place before, gets nothing any more
  std::atomic<uint64_t> blocked_ns;  // for how long the producer has waited for whoever had this place
  // The ConsumerEntry::state of the consumer that the producer knows of: it is waited for, and its pins count. 0: nobody.
  std::atomic<uint64_t> acknowledged_state;
  std::atomic<uint32_t> pins;  // of that consumer
  uint32_t reserved;

  // The token of the consumer that is still to come; kNotReserved if there is none.
  uint64_t Expected() const {
    const uint64_t value = token.load(std::memory_order_acquire);
    return value == kReservationTaken ? kNotReserved : value;
  }
};
static_assert(sizeof(PlaceRecord) == 64);

// A consumer's phase, in the low byte of ConsumerEntry::state; above it 32 bits that count the entry's uses, and above those
// ControlHeader::renewals: the states of a place only grow, even when its part is replaced by a fresh one.
enum class Phase : uint8_t { kFree = 0, kJoining = 1, kActive = 2, kLeft = 3 };
inline constexpr uint32_t kStateUsesBits = 32;
constexpr Phase PhaseOf(uint64_t state) { return static_cast<Phase>(state & 0xff); }
constexpr uint64_t UsesOf(uint64_t state) { return state >> 8 & ((uint64_t{1} << kStateUsesBits) - 1); }
constexpr uint32_t RenewalsOf(uint64_t state) { return static_cast<uint32_t>(state >> (8 + kStateUsesBits)); }
constexpr uint64_t StateOf(uint64_t uses, Phase phase, uint32_t renewals = 0) {
  return uint64_t{renewals} << (8 + kStateUsesBits) | UsesOf(uses << 8) << 8 | static_cast<uint64_t>(phase);
}
// Of so many bits are the renewals in a state.
inline constexpr uint32_t kMaxRenewals = (1u << (64 - 8 - kStateUsesBits)) - 1;

// ConsumerEntry::wait_state. A producer that sees kAwake owes nothing; kMaySleep, a fence and another look;
// kSleeping, a wake. kNotYet: the consumer has not chosen the slot that it starts with, and does not count as one of
// min_consumers.
inline constexpr uint32_t kAwake = 0;
inline constexpr uint32_t kMaySleep = 1;
inline constexpr uint32_t kSleeping = 2;
inline constexpr uint32_t kNotYet = 4;

// Written by the one consumer that holds the lock of its place.
struct alignas(kSpacingBytes) ConsumerEntry {
  std::atomic<uint64_t> state;  // StateOf
  std::atomic<uint64_t> token;  // random; names the consumer in a successor's reservations
  std::atomic<uint32_t> wait_state;
  std::atomic<uint32_t> order;  // ReadOrder: a kLatest consumer is never waited for
  std::atomic<uint32_t> pins_declared;
  std::atomic<uint32_t> group;      // 1 + the index of its group; 0: it reads for itself
  std::atomic<int64_t> pid;         // for information only
  std::atomic<uint32_t> when_slow;  // WhenSlow: what the producer does when this consumer holds it up...
  uint32_t reserved0;
  std::atomic<int64_t> patience_ns;  // ...for so long

  alignas(kSpacingBytes) std::atomic<uint64_t> cursor;  // every slot below it is read and released
  std::atomic<uint64_t> received_slots;
  std::atomic<uint64_t> received_bytes;
  std::atomic<uint64_t> missed_slots;
  std::atomic<uint64_t> waits;
  std::atomic<uint64_t> sleeps;
  std::atomic<uint64_t> corrupt_slots;
  std::atomic<uint64_t> redelivered_slots;

  alignas(kSpacingBytes) std::atomic<uint64_t> pins[kPinsPerConsumer];  // 1 + chunk; 0: none
};
static_assert(sizeof(ConsumerEntry) == 384 && offsetof(ConsumerEntry, cursor) == 128 &&
              offsetof(ConsumerEntry, pins) == 256);

struct alignas(kSpacingBytes) ControlHeader {
  SegmentId segment_id;
  uint64_t entries_offset_bytes;  // max_consumers of ConsumerEntry
  uint64_t groups_offset_bytes;   // group_count of GroupEntry, each with its claims behind it
  uint32_t max_consumers;         // places in this file
  uint32_t group_count;
  uint32_t capacity_slots;
  uint32_t first_place;  // the number of the first of them; not 0 in a part only
  uint32_t first_group;
  uint32_t renewals;  // how often this part was replaced by a fresh one
  // Counts joins and departures: a producer that sees it unchanged knows its consumers. Written by all of
  // them.
  alignas(kSpacingBytes) std::atomic<uint64_t> membership_changes;
};
static_assert(sizeof(ControlHeader) == 256 && offsetof(ControlHeader, membership_changes) == 128);

// The bell of a segment whose control is in parts: one page, with a counter at its start, which every consumer adds to after it
// has counted a change in its part, so that the producer looks at once. Everybody may write anything into it, so nothing
// depends on it but how soon; and nothing else is in it.
inline constexpr size_t kBellBytes = kPageBytes;

// A group of consumers that share the work: this, and then a claim word for each cell of the ring, written by its
// members, who trust each other (shm/ring/group_claims.h).
struct alignas(kSpacingBytes) GroupEntry {
  std::atomic<uint64_t> releases;  // grows when a release wakes the producer: the word that it sleeps on
};
static_assert(sizeof(GroupEntry) == 128);

// A claim word says who has a slot for a group. From the low end:
//   place         10 bits  of the member that has it, or had it last; counted from the part's first
//   state          2 bits  ClaimState
//   redeliveries   6 bits  how often it was taken away from a dead member; 0: never
//   sequence      46 bits  the slot's number, as far as it goes
// A word of the slot that was in the cell before, and is done, means that nobody has claimed the newer one yet.
enum class ClaimState : uint8_t { kOpen = 0, kClaimed = 1, kDone = 2 };
inline constexpr uint32_t kClaimPlaceBits = 10;
inline constexpr uint32_t kClaimStateBits = 2;
inline constexpr uint32_t kClaimRedeliveryBits = 6;
inline constexpr uint32_t kClaimSequenceBits = 46;
static_assert(kClaimPlaceBits + kClaimStateBits + kClaimRedeliveryBits + kClaimSequenceBits == 64);

constexpr uint64_t ClaimWord(uint64_t sequence, ClaimState state, uint32_t place = 0,
                             uint32_t redeliveries = 0) {
  return ((sequence << kClaimRedeliveryBits | redeliveries) << kClaimStateBits | static_cast<uint64_t>(state))
             << kClaimPlaceBits |
         place;
}

// The anchor file: which segment of the channel is current. The producer holds the lock on its byte 0 for
// life.
struct AnchorBlock {
  std::atomic<uint64_t> magic;
  uint32_t abi_version;
  std::atomic<uint32_t> publications;  // segment_ids[publications & 1] is current
  SegmentId segment_ids[2];
};
static_assert(sizeof(AnchorBlock) == 48);

// Lock bytes: the producer's in the data file, in a control file that of the place at index i there at kFirstConsumerLockByte
// + i.
inline constexpr int64_t kProducerLockByte = 0;
inline constexpr int64_t kFirstConsumerLockByte = 0;
inline constexpr int64_t kAnchorLockByte = 0;
inline constexpr int64_t kTurnLockByte = 1;  // in the anchor: held for a moment by who leaves the channel

// A number that differs where any size or offset above does.
constexpr uint64_t LayoutHash() {
  constexpr uint64_t kFacts[] = {
      kAbiVersion,
      kMaxInlineBytes,
      kPinsPerConsumer,
      sizeof(Superblock),
      sizeof(SlotDescriptor),
      sizeof(DataHeader),
      sizeof(ConsumerEntry),
      sizeof(ControlHeader),
      sizeof(PlaceRecord),
      offsetof(PlaceRecord, acknowledged_state),
      kStateUsesBits,
      sizeof(GroupEntry),
      kClaimPlaceBits,
      kClaimSequenceBits,
      sizeof(ZoneHeader),
      offsetof(DataHeader, slot_bytes),
      offsetof(DataHeader, schema_hash),
      offsetof(DataHeader, progress),
      offsetof(DataHeader, wait),
      offsetof(ConsumerEntry, cursor),
      offsetof(ConsumerEntry, pins),
  };
  uint64_t hash = 14695981039346656037u;  // FNV-1a
  for (uint64_t fact : kFacts) hash = (hash ^ fact) * 1099511628211u;
  return hash;
}

// The word that a futex waits on: the low half of a 64-bit one.
inline const uint32_t* LowHalf(const std::atomic<uint64_t>& word) {
  return reinterpret_cast<const uint32_t*>(&word);
}

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_SEGMENT_LAYOUT_H_
