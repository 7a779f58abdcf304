// The writing end of a channel: creates its segment, and moves slots into it.
//
//   auto producer = DataBlockProducer::Create({.channel = "camera.left", .slot_bytes = 1 << 20});
//   if (WriteSlot slot = (*producer)->Acquire(absl::Seconds(1))) {
//     size_t n = camera.Read(slot.payload());
//     slot.Commit(n);
//   }
//
// Thread safety: a producer belongs to one thread at a time; what is said to be thread-safe may be called from any.
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
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "shm/channel_config.h"
#include "shm/handed_over.h"
#include "shm/producer_stats.h"
#include "shm/segment_descriptors.h"
#include "shm/segment_id.h"
#include "shm/slot_result.h"
#include "shm/write_slot.h"

namespace pylabhub::shm {

class ProducerSegment;

class DataBlockProducer {
 public:
  // Creates the channel named config.channel, or takes it over from a producer that is gone: consumers of the
  // predecessor that still live find their place kept in the new segment, and read on at its sequence 0.
  //
  // Errors:
  //   kInvalidArgument    a member of `config` breaks its rule; the message names it and the mend
  //   kAlreadyExists      the channel has a live producer (the message names its process)
  //   kResourceExhausted  not enough memory in config.directory; or too few max_consumers for those that live; or eight
  //                       segments of earlier producers have slots that a group has still to read
  //   kPermissionDenied   the files belong to another user
  //   kUnavailable        any other answer of the operating system, in words
  static absl::StatusOr<std::unique_ptr<DataBlockProducer>> Create(const ChannelConfig& config,
                                                                   const WaitOptions& wait = {});

  // Creates a channel's segment in sealed memory, which no name leads to: the caller passes of descriptors() to each consumer
  // data, bell, and one part (part_plan.h), which it gives to nobody else, even if that consumer never uses it. Nobody but the
  // producer can write its data, no consumer can write what another one says, and the memory is gone with the last who has it.
  //
  // `predecessors` are the segments of the channel's earlier producers, oldest first, as far as consumers may still read
  // them: those find their places kept, as after Create, but for those whose parts are missing. That there is one next producer
  // is the caller's to see to: no anchor does it. `segment_id` is nobody else's; nil: a random one. config.directory means nothing here. In a pipeline, each group may have
  // max_consumers members, and there may be as many onlookers.
  //
  // Errors:
  //   kInvalidArgument     as for Create; config.unix_group is set; or the predecessors are no chain of this channel's
  //   kAlreadyExists       the producer of a predecessor lives
  //   kFailedPrecondition  a predecessor's descriptors are not those of a sealed segment
  //   kResourceExhausted   not enough memory, or too few max_consumers for those that live; or the process may not have so
  //                        many descriptors: two for each part (its soft limit is raised, MakeRoomForDescriptors)
  //   kUnavailable         any other answer of the operating system, in words
  static absl::StatusOr<std::unique_ptr<DataBlockProducer>> CreateSealed(
      const ChannelConfig& config, const WaitOptions& wait = {},
      std::span<const SegmentDescriptors> predecessors = {}, const SegmentId& segment_id = {});

  ~DataBlockProducer();
  DataBlockProducer(const DataBlockProducer&) = delete;
  DataBlockProducer& operator=(const DataBlockProducer&) = delete;

  // Waits at most `timeout` for a slot to write. With an overwriting policy there is always one; with a
  // lossless one the wait is for the slowest living consumer, as long as its patience and config.max_patience last, or for
  // the slowest group, whether or not that has members; and for config.min_consumers before the first slot. At most one
  // slot is outstanding at a time.
  //
  // Results: kOk, kTimeout, kForked.
  WriteSlot Acquire(absl::Duration timeout);
  // The same for up to `slots` slots at once: waits for the first, and takes as many more as are free, at most
  // config().capacity_slots. With an overwriting policy and slots of more than 1 KiB, the slots that they will take the
  // place of are gone from now on.
  WriteBatch AcquireBatch(size_t slots, absl::Duration timeout);

  // Publishes `bytes`, and zeros up to config().zone_bytes, as the next version of the zone. Needs no slot, waits for
  // nobody, and costs a copy and a system call (about 0.15 us). A new segment's zone is unwritten, whatever the
  // predecessor's held: write it first.
  //
  // Errors: kInvalidArgument (more bytes than the zone has), kFailedPrecondition (the channel has no zone, or the
  //         handle belongs to the parent of this process).
  absl::Status WriteZone(std::span<const std::byte> bytes);
  // How often the zone was written.
  uint64_t zone_version() const;

  // The number that the next committed slot gets; the first of a segment is 0.
  uint64_t next_sequence() const;
  const ChannelConfig& config() const;
  const SegmentId& segment_id() const;
  // The segment that this one succeeds; nil for the first of a channel.
  const SegmentId& predecessor_id() const;
  // What CreateSealed's consumers attach to, to be passed on (Duplicate it to keep it for the next producer); null if
  // the channel has a name. Valid until the next Acquire.
  const SegmentDescriptors* descriptors() const;
  // Consumers that are attached and live. A system call for each. Thread-safe.
  uint32_t consumer_count() const;
  // Of all segments that this producer had. Thread-safe.
  ProducerStats Stats() const;

  // --- Of a channel whose memory is handed over; kFailedPrecondition if it has a name. Thread-safe.

  // Copies of the current segment's descriptors, to be kept and passed on.
  absl::StatusOr<HandedOver> DuplicateDescriptors() const;

  // Fresh memory for these parts of segment `segment_id` (nil: of the current one), to be given to other consumers. Whoever has
  // one of the old ones is evicted at the producer's next look, in Acquire or in its wait, at most 10 ms after that began,
  // whatever locks it holds: it is not waited for, its pins do not count, it is told kCutOff.
  //
  // Errors:
  //   kInvalidArgument    no such part, or it is a group's, whose claims are in it: a member is excluded by moving on
  //   kNotFound           the producer has moved on from that segment
  //   kResourceExhausted  not enough memory or descriptors
  absl::StatusOr<RenewedParts> RenewParts(const SegmentId& segment_id, std::span<const uint32_t> parts);

  // The parts at which somebody sits, by the kernel's word. Who was given a part may not have used it yet.
  std::vector<uint32_t> PartsInUse() const;

  // At its next Acquire or WriteZone, or in an Acquire that is under way, the producer ends the segment with its last committed
  // slot (one that it is writing just now is still committed there), and goes on in a fresh one which succeeds it: what is written from then on is in memory that nobody has who is not given it. Consumers
  // that live read the old one to its end, and find their places kept when they Follow to the new one, where they must be given
  // the parts of their places; but nothing is kept for those at `except_places`. The zone's newest version is written there
  // anew. `moved_on` is called when it is done, or has failed: then all is as before.
  //
  // Several requests before the producer's next look are one.
  void RequestMoveOn(std::vector<uint32_t> except_places, MovedOn moved_on);

 private:
  struct Dealings;
  SlotResult AcquireSlots(size_t slots, absl::Duration timeout);
  SlotResult WaitForSlots(size_t slots, absl::Duration timeout);
  void DoChores();
  void DoWhatWasAsked();
  absl::Status MoveOn(const std::vector<uint32_t>& except_places);
  DataBlockProducer(std::unique_ptr<ProducerSegment> segment, std::unique_ptr<Dealings> dealings);
  std::unique_ptr<Dealings> dealings_;        // with other threads; none if the channel has a name
  std::unique_ptr<ProducerSegment> segment_;  // the current one
};

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_DATA_BLOCK_PRODUCER_H_
