// What one segment of a channel must do, as plainly as it can be said: a deque of the slots that are kept, for each consumer
// the number that it reads next, for each group who has which slot. The fast one is compared with it, step by step.
//
// Where the channel is free to do one thing or another, as with the moment when it notices a death, the model says what it
// may do (Room), or is told what it did.
#ifndef PYLABHUB_TESTS_SHM_REFERENCE_CHANNEL_H_
#define PYLABHUB_TESTS_SHM_REFERENCE_CHANNEL_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "shm/channel_config.h"
#include "shm/join_point.h"
#include "shm/read_order.h"
#include "shm/slot_result.h"

namespace pylabhub::shm {

struct ReferenceConsumer {
  ReadOrder order = ReadOrder::kNext;
  std::optional<size_t> group = std::nullopt;  // it shares the slots with others
  bool impatient = false;                      // the producer drops it or cuts it off instead of waiting
  bool in_place = false;                       // the producer waits for it, and it knows so
  bool known = true;                           // the producer knows that it has to be waited for
  bool gone = false;                           // dead, or never to come: the producer has to find out
  bool cut_off = false;
  bool has_kept_place = false;
  bool to_come = false;  // it has not taken that place yet

  uint64_t cursor = 0;       // it has given back every slot below
  uint64_t next = 0;         // the number that it reads next, at the least
  uint64_t waited_from = 0;  // below it nothing is kept for this one: its backlog was dropped
  std::vector<uint64_t> held = {};
  uint64_t missed = 0;          // since the last slot that it got
  bool corrupt_untold = false;  // found behind others of a batch

  uint64_t received_slots = 0;
  uint64_t received_bytes = 0;
  uint64_t missed_slots = 0;
  uint64_t corrupt_slots = 0;
  uint64_t redelivered_slots = 0;
};

class ReferenceChannel {
 public:
  using Payload = std::span<const std::byte>;
  using Consumer = ReferenceConsumer;
  static constexpr size_t kMaxGroups = 2;

  struct Answer {
    SlotResult result = SlotResult::kOk;
    uint64_t sequence = 0;
    uint64_t missed_slots = 0;
    bool redelivered = false;
    Payload payload = {};
  };

  // How many slots can be written now.
  struct Room {
    uint64_t
        least;  // if everybody is waited for who need not be: the dead, the impatient, who has only just come
    uint64_t patient;  // if the dead and the impatient are not
    uint64_t most;     // if only those are who must be
  };

  // `verifies`: payloads have checksums, and a wrong one makes a slot corrupt.
  explicit ReferenceChannel(const ChannelConfig& config);

  uint64_t head() const { return head_; }
  uint64_t oldest() const { return head_ - slots_.size(); }
  uint64_t committed_bytes() const { return committed_bytes_; }
  size_t group_count() const { return group_count_; }
  bool closed() const { return closed_; }
  void Close() { closed_ = true; }

  // --- the producer
  Room room() const;
  // `slots` were asked for at once: which of the old ones are given up for them is the channel's to say.
  void Prepare(uint64_t slots);
  void Commit(Payload payload);
  // True if the next slot would take the place of one that `consumer` has not read.
  bool HoldsUpNextSlot(const Consumer& consumer) const;

  // --- slots that are not what they were
  bool IsThere(uint64_t sequence) const {
    return sequence >= oldest() && sequence < head_ && !at(sequence).gone;
  }
  bool MayBeGone(uint64_t sequence) const;
  void SetGone(uint64_t sequence) { at(sequence).gone = true; }
  // True if it is sound, and nobody has it, or had it as a member of a group.
  bool IsUntouched(uint64_t sequence) const;
  void SetCorrupt(uint64_t sequence) { at(sequence).corrupt = true; }
  bool IsCorrupt(uint64_t sequence) const { return IsThere(sequence) && at(sequence).corrupt; }
  Payload payload(uint64_t sequence) const { return at(sequence).payload; }

  // --- consumers
  // One that reads for itself, and begins at `start`.
  std::shared_ptr<Consumer> Join(ReadOrder order, JoinPoint start, bool impatient);
  std::shared_ptr<Consumer> JoinGroup(size_t group);
  // One of an earlier segment, whose place is kept; and one that has moved on from there.
  std::shared_ptr<Consumer> KeepPlace(const Consumer& heir);
  void Arrive(Consumer& heir) const;
  void Leave(const std::shared_ptr<Consumer>& consumer);
  // Killed: what it held as a member of a group is for somebody else.
  void Die(const std::shared_ptr<Consumer>& consumer);
  // The producer has gone on, and so has found out about those who held it up and are gone.
  void ForgetGone();
  // Places that were kept for consumers who are gone, and may be kept still.
  uint64_t places_in_vain() const;

  // Of who reads for itself. `first`: of what is asked for at once.
  Answer Take(Consumer& consumer, bool first);
  void Release(Consumer& consumer);
  // True if nothing will come for it any more.
  bool IsDrained(const Consumer& consumer) const;

  // --- groups
  // The oldest slot that nobody of the group has had.
  std::optional<uint64_t> FindFresh(size_t group) const;
  // True if it was had by somebody who did not live to release it, and nobody has it now.
  bool IsAbandoned(size_t group, uint64_t sequence) const;
  bool AnyAbandoned(size_t group) const;
  uint64_t DoneBelow(size_t group) const { return done_below_[group]; }
  bool AnyCorruptToCome(size_t group) const;
  bool AllDone(size_t group) const { return done_below_[group] == head_; }
  // `consumer` gets `sequence`, which is fresh or abandoned.
  Answer Claim(Consumer& consumer, uint64_t sequence);

 private:
  // A group's part in a slot.
  struct Share {
    const Consumer* holder = nullptr;
    bool was_lost = false;  // a holder died
    bool done = false;
  };
  struct Slot {
    Payload payload;
    bool corrupt = false;
    bool gone = false;
    std::array<Share, kMaxGroups> shares = {};
  };

  Slot& at(uint64_t sequence) { return slots_[sequence - oldest()]; }
  const Slot& at(uint64_t sequence) const { return slots_[sequence - oldest()]; }
  uint64_t RoomIf(const std::function<bool(const Consumer&)>& waits_for) const;
  void Skip(Consumer& consumer) const;
  void MarkDone(size_t group, uint64_t sequence);

  bool lossless_;
  bool large_;
  uint64_t capacity_;
  size_t group_count_;
  uint64_t head_ = 0;
  uint64_t withdrawn_below_ = 0;
  uint64_t committed_bytes_ = 0;
  bool closed_ = false;
  std::deque<Slot> slots_;
  std::array<uint64_t, kMaxGroups> done_below_ = {};
  std::vector<std::shared_ptr<Consumer>> consumers_;
  uint64_t kept_and_left_ = 0;
};

}  // namespace pylabhub::shm

#endif  // PYLABHUB_TESTS_SHM_REFERENCE_CHANNEL_H_
