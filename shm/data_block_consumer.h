// The reading end of a channel: attaches to its segment, and takes slots from it.
//
//   auto consumer = DataBlockConsumer::Open("camera.left");
//   while (ReadSlot slot = (*consumer)->Acquire(absl::Seconds(1))) {
//     Show(slot.payload());
//   }
//
// Thread safety: a consumer belongs to one thread at a time.
// Time:          Acquire and release make no system call when a slot is ready and the producer does not
//                sleep. A wait looks every 10 ms at the latest whether the producer still lives.
// Ownership:     slots must be gone before their consumer; a consumer that finds one outstanding ends the
//                process with that message.
// Fork:          a child of fork() has no channel: its copy of the handle answers kForked and touches
//                nothing.
#ifndef PYLABHUB_SHM_DATA_BLOCK_CONSUMER_H_
#define PYLABHUB_SHM_DATA_BLOCK_CONSUMER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "shm/channel_config.h"
#include "shm/consumer_options.h"
#include "shm/read_slot.h"
#include "shm/schema.h"
#include "shm/segment_descriptors.h"
#include "shm/segment_id.h"
#include "shm/slot_result.h"

namespace pylabhub::shm {

class Waitable;
class WaitSet;

// What a consumer has done so far, counted in the segment, where any tool can read it.
struct ConsumerStats {
  uint64_t received_slots = 0;
  uint64_t received_bytes = 0;
  uint64_t missed_slots = 0;
  uint64_t waits = 0;              // Acquires that found nothing to read, and waits of its WaitSet that slept
  uint64_t sleeps = 0;             // waits that went to the kernel
  uint64_t corrupt_slots = 0;      // answered with kCorrupt
  uint64_t redelivered_slots = 0;  // which a member of its group that is dead had before
};

class DataBlockConsumer {
 public:
  // Attaches to the channel. A kNext consumer starts where options.start says; a kLatest one with the newest slot that
  // there is; a member of a group with the oldest that its group has not read, in the segment of an earlier producer if need
  // be.
  //
  // Errors:
  //   kInvalidArgument     a bad channel name, or options that make no sense (the message says which); or the channel has
  //                        several groups, and options.group names none
  //   kNotFound            no such channel on this host, even after options.open_timeout; or no such group
  //   kFailedPrecondition  SCHEMA_MISMATCH (both hashes in the message); or the files are damaged, truncated,
  //                        of another version, or not ours (the message says which)
  //   kOutOfRange          options.start is a slot that is yet to be written
  //   kResourceExhausted   all its places for consumers, or for slots held by them, are taken
  //   kPermissionDenied    the files belong to another user, or may not be read by this one
  //   kUnavailable         any other answer of the operating system, in words
  static absl::StatusOr<std::unique_ptr<DataBlockConsumer>> Open(absl::string_view channel,
                                                                 const ConsumerOptions& options = {});

  // Attaches to a segment that was handed over; `descriptors` stay the caller's. options.directory and
  // options.open_timeout mean nothing here.
  //
  // Errors: those of Open but kNotFound. Descriptors that are not a sealed segment's are kFailedPrecondition, before
  // anything of them is mapped; so is a part that is another group's, or was replaced meanwhile.
  static absl::StatusOr<std::unique_ptr<DataBlockConsumer>> OpenSealed(const ConsumerDescriptors& descriptors,
                                                                       const ConsumerOptions& options = {});

  ~DataBlockConsumer();
  DataBlockConsumer(const DataBlockConsumer&) = delete;
  DataBlockConsumer& operator=(const DataBlockConsumer&) = delete;

  // Waits at most `timeout` for a slot to read. At most one slot is outstanding at a time.
  //
  // Results: kOk, kTimeout, kProducerClosed, kProducerDead, kCorrupt, kCutOff, kForked. The two of a producer that is
  // gone come only after every slot that it committed was read (by a group: and released by all its members), and stay
  // until Follow moves the consumer on. Who was cut off is told kCutOff instead of them, too: at the latest where nothing is
  // left to read. A slot that was kCorrupt counts as missed.
  ReadSlot Acquire(absl::Duration timeout);
  // The same for up to `slots` slots at once, and at most options.max_batch: waits for the first, and takes as many more
  // as are there.
  ReadBatch AcquireBatch(size_t slots, absl::Duration timeout);

  // Copies the first bytes of the zone's newest version into `target`, as many as both have; which version it is, from
  // 1. Version 0, which copies nothing: it was not written yet. Never a mixture of two versions. Disturbs nobody, and
  // goes on after the producer is gone.
  //
  // Errors: kFailedPrecondition (the channel has no zone, or the handle belongs to the parent of this process),
  //         kUnavailable (the producer wrote two versions while one was read, a hundred times in a row).
  absl::StatusOr<uint64_t> ReadZone(std::span<std::byte> target) const;
  // The version that ReadZone would read; 0 too if there is no zone.
  uint64_t zone_version() const;
  // Waits at most `timeout` for a version above `after_version`. Each segment counts from 1 again: after Follow, 0.
  //
  // Results: kOk, kTimeout, kProducerClosed, kProducerDead, kNoZone, kForked.
  SlotResult WaitForZone(uint64_t after_version, absl::Duration timeout) const;

  // After kProducerClosed or kProducerDead: waits at most `timeout` for the channel's next producer, and
  // attaches to its segment, at its sequence 0 if the place was kept. OK means that Acquire reads from
  // another segment_id() now.
  //
  // Errors: kDeadlineExceeded (no successor yet; call again), kFailedPrecondition (the producer is not gone,
  //         or the successor has another schema), and those of Open.
  absl::Status Follow(absl::Duration timeout);

  // The same for a channel without a name: attaches to the segment that was handed over, which must be the one that
  // follows this one; to pass over one in between is to lose what it holds, and takes OpenSealed.
  //
  // Errors: kFailedPrecondition (the producer is not gone, the segment does not follow this one, or has another schema),
  //         and those of OpenSealed.
  absl::Status Follow(const ConsumerDescriptors& successor);

  // True while the producer lives and has not closed the channel. A system call.
  bool ProducerIsAlive() const;

  // What the producer decided, as the segment says it.
  const ChannelConfig& config() const;
  const Schema& schema() const { return config().schema; }
  const SchemaHash& schema_hash() const;
  const SegmentId& segment_id() const;
  // The number of its place, which it keeps from segment to segment. Where memory is handed over and there are no groups, that of
  // its part.
  uint32_t place() const;
  // The group that it is in; empty if in none.
  const std::string& group() const;
  ConsumerStats Stats() const;

 private:
  friend class WaitSet;
  class State;
  // For a WaitSet; none in a child of fork().
  Waitable* waitable();
  explicit DataBlockConsumer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_DATA_BLOCK_CONSUMER_H_
