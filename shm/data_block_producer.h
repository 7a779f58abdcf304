// The writing end of a channel: creates its segment, and moves slots into it.
//
//   auto producer = DataBlockProducer::Create({.channel = "camera.left", .slot_bytes = 1 << 20});
//   if (WriteSlot slot = (*producer)->Acquire(absl::Seconds(1))) {
//     size_t n = camera.Read(slot.payload());
//     slot.Commit(n);
//   }
//
// Thread safety: a producer belongs to one thread at a time; Stats and consumer_count may be called from any.
// Time:          Acquire, Commit and abort make no system call when a slot is free and no consumer sleeps.
// Ownership:     slots must be gone before their producer; a producer that finds one outstanding ends the
//                process with that message. The destructor closes the channel: consumers read what is left,
//                then see kProducerClosed. The last to leave removes the channel's files.
// Fork:          a child of fork() has no channel: its copy of the handle answers kForked and touches
//                nothing.
#ifndef PYLABHUB_SHM_DATA_BLOCK_PRODUCER_H_
#define PYLABHUB_SHM_DATA_BLOCK_PRODUCER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "shm/channel_config.h"
#include "shm/ring/ring_writer.h"
#include "shm/segment_id.h"
#include "shm/slot_result.h"

namespace pylabhub::shm {

class DataBlockProducer;

// A slot that is being written. Committed by call, aborted by destructor; an aborted slot uses up no sequence
// number.
class WriteSlot {
 public:
  WriteSlot(WriteSlot&& other) noexcept;
  WriteSlot& operator=(WriteSlot&&) = delete;
  ~WriteSlot();

  // True if there is a slot to write; else result() says why not.
  explicit operator bool() const { return writer_ != nullptr; }
  SlotResult result() const { return result_; }

  // Where to write: slot_bytes bytes, aligned to 64, with whatever an earlier slot left in them. Empty
  // without a slot.
  std::span<std::byte> payload() const { return payload_; }

  // Publishes the first `payload_bytes` bytes as the next slot. kTooLarge (and an abort) if they are more
  // than payload().size(). The slot is spent either way. Requires a slot.
  SlotResult Commit(size_t payload_bytes);
  // Gives the slot back unseen. Does nothing without a slot.
  void Abort();

 private:
  friend class DataBlockProducer;
  explicit WriteSlot(SlotResult result) : result_(result) {}
  WriteSlot(RingWriter* writer, std::span<std::byte> payload) : writer_(writer), payload_(payload) {}

  RingWriter* writer_ = nullptr;
  std::span<std::byte> payload_;
  SlotResult result_ = SlotResult::kOk;
};

// What a producer has done so far. All counted by the producer, in the segment, where any tool can read them.
struct ProducerStats {
  uint64_t committed_slots = 0;
  uint64_t committed_bytes = 0;
  uint64_t aborted_slots = 0;
  uint64_t waits = 0;                // Acquires that found no free slot
  absl::Duration blocked;            // time spent in those
  uint64_t wakes = 0;                // system calls made to wake sleeping consumers
  uint64_t evicted_consumers = 0;    // found dead while they held a slot back
  uint64_t invalid_peer_values = 0;  // cursors and pins that no correct consumer writes
};

class DataBlockProducer {
 public:
  // Creates the channel named config.channel, or takes it over from a producer that is gone: consumers of the
  // predecessor that still live find their place kept in the new segment, and read on at its sequence 0.
  //
  // Errors:
  //   kInvalidArgument    a member of `config` breaks its rule; the message names it and the mend
  //   kAlreadyExists      the channel has a live producer (the message names its process)
  //   kResourceExhausted  not enough memory in config.directory, or too few max_consumers for those that live
  //   kPermissionDenied   the files belong to another user
  //   kUnavailable        any other answer of the operating system, in words
  static absl::StatusOr<std::unique_ptr<DataBlockProducer>> Create(const ChannelConfig& config,
                                                                   const WaitOptions& wait = {});

  ~DataBlockProducer();
  DataBlockProducer(const DataBlockProducer&) = delete;
  DataBlockProducer& operator=(const DataBlockProducer&) = delete;

  // Waits at most `timeout` for a slot to write. With an overwriting policy there is always one; with a
  // lossless one the wait is for the slowest living consumer, and for config.min_consumers before the first
  // slot. At most one slot is outstanding at a time.
  //
  // Results: kOk, kTimeout, kForked.
  WriteSlot Acquire(absl::Duration timeout);

  // The number that the next committed slot gets; the first is 0.
  uint64_t next_sequence() const;
  const ChannelConfig& config() const;
  const SegmentId& segment_id() const;
  // The segment that this one succeeds; nil for the first of a channel.
  const SegmentId& predecessor_id() const;
  // Consumers that are attached and live. A system call for each; may be called from any thread.
  uint32_t consumer_count() const;
  ProducerStats Stats() const;

 private:
  class State;
  explicit DataBlockProducer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_DATA_BLOCK_PRODUCER_H_
