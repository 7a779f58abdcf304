// Judges what one consumer sees, slot by slot, against what the channel's producers say that they did. Its verdicts go to
// the consumer's record in the ledger, so they outlive it.
//
// lost:        a slot that this consumer was entitled to, and neither got nor was told that it missed. With a lossless
//              policy also one that it was told of, unless it joined while the successor was being created, or has agreed
//              that it is not waited for without end.
// duplicated:  a number that does not go up.
//              Of a group: a slot that somebody had who has released it, or who lives.
// torn:        content that its writer did not write as that slot, or that changed while it was held.
//
// Thread safety: thread-compatible.
#ifndef PYLABHUB_TESTS_CHAOS_WITNESS_H_
#define PYLABHUB_TESTS_CHAOS_WITNESS_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "shm/channel_config.h"
#include "shm/data_block_consumer.h"
#include "shm/ring/ring_reader.h"
#include "shm/segment_id.h"
#include "shm/slot_result.h"
#include "tests/chaos/ledger.h"

namespace pylabhub::chaos {

class Witness {
 public:
  // `options` with an order.
  Witness(Ledger& ledger, ConsumerRecord& record, const shm::ChannelConfig& config,
          const shm::ConsumerOptions& options);

  // Open has returned.
  void Opened(const shm::SegmentId& segment_id);
  // Acquire gave `slot`; its payload is checked here.
  void Delivered(const shm::SlotView& slot);
  // It has been held for a while.
  void StillHolds(const shm::SlotView& slot);
  // All that were delivered since the last release were given back.
  void Released(shm::SlotResult result);
  // ReadZone gave `version`, in `bytes`, whose rest is zero.
  void ReadZone(uint64_t version, std::span<const std::byte> bytes);
  // Acquire said kCorrupt: one slot is gone, and it said so.
  void Corrupt();
  // Acquire said that the producer is gone: everything that it committed has been delivered.
  void Ended();
  // Follow has returned.
  void Followed(const shm::SegmentId& segment_id);

  // Something that must not happen, which no count stands for.
  void Fault(const std::string& what);

 private:
  void CheckContent(const shm::SlotView& slot);
  void CheckTurn(const shm::SlotView& slot);
  void CheckNumber(const shm::SlotView& slot);
  void CheckEnd(uint64_t confirmed, uint64_t attempted);
  void EnterGeneration(uint32_t generation);
  void Lose(uint64_t slots, const std::string& why);
  // The generation whose segment this is; 0 if its producer did not live to say so.
  uint32_t GenerationOf(const shm::SegmentId& segment_id) const;
  // True if this consumer joined while the producer of `generation` was looking who is there.
  bool JoinedBehind(uint32_t generation) const;

  Ledger& ledger_;
  ConsumerRecord& record_;
  bool lossless_;
  bool latest_;
  bool shared_;  // it is a member of a group
  uint64_t capacity_slots_;

  shm::SegmentId segment_id_;
  uint32_t generation_ = 0;       // the newest whose slots or end it has seen
  bool first_in_segment_ = true;  // nothing was delivered from it yet
  bool first_segment_ = true;     // the one that it opened
  uint64_t zone_version_ = 0;     // the newest that it has seen in this segment
  uint64_t next_ = 0;             // the number that comes next
  uint64_t newest_at_open_ = 0;   // it starts at or below this number
  uint64_t corrupt_since_ = 0;    // slots that were reported as corrupt since the last one delivered
  std::vector<uint64_t> held_;    // of a group: the slots that it has
};

}  // namespace pylabhub::chaos

#endif  // PYLABHUB_TESTS_CHAOS_WITNESS_H_
