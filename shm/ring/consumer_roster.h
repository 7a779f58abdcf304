// A producer's private list of its consumers: which places are taken, how far each has read, which sleep,
// which chunks they hold. The control segment is written by the consumers, so everything in it is input: the
// roster copies, checks and counts, and never follows an index that it read.
//
//   joining consumer                                   producer
//   1. state = joining; cursor = head
//   2. state = active
//   3. ++membership_changes; ++bell (full fence)       1. head = n (release)
//   4. h = head  ------------------------- J ------->  2. full fence
//   5. cursor = h                                      3. bell changed? read the entries
//
// J: either the joiner's h counts slot n, or the producer's reading sees the joiner. So a producer that read
//    the entries when its head was n and found nobody may write up to n + capacity without looking again: no
//    joiner starts below n.
//
// With a name, control is one part, and its membership_changes is the bell. Handed over, each consumer has a part of its own and
// all share the bell, which a hostile one may set to anything: the producer may not hear of a joiner then. So there it also looks
// at one part in turn at each Acquire, no joiner reads in place before its place was acknowledged (PlaceRecord), and what is
// written between the joiner's h and that is copied by it, or counted as missed. A bell costs a look at every part: no more of
// them are answered than on average kLooksPerTurn looks for each Acquire pay for.
//
// Thread safety: thread-compatible; it belongs to the producer's thread.
#ifndef PYLABHUB_SHM_RING_CONSUMER_ROSTER_H_
#define PYLABHUB_SHM_RING_CONSUMER_ROSTER_H_

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <vector>

#include "shm/channel_config.h"
#include "shm/ring/group_claims.h"
#include "shm/segment/control_segment.h"
#include "shm/segment/layout.h"

namespace pylabhub::shm {

class ConsumerRoster {
 public:
  // True if the holder of the place at this index lives. The kernel's word; asked only about places that hold
  // something up.
  using LivenessProbe = std::function<bool(uint32_t index)>;

  // `parts` are in the order of places.
  ConsumerRoster(const std::vector<ControlView>& parts, const std::atomic<uint64_t>& bell, uint32_t max_pins,
                 LivenessProbe is_alive);
  // Of control that is one part.
  ConsumerRoster(const ControlView& control, uint32_t max_pins, LivenessProbe is_alive)
      : ConsumerRoster(std::vector{control}, control.header->membership_changes, max_pins,
                       std::move(is_alive)) {}

  // Keeps the place at `index`, at cursor 0, for the consumer with this token, until it joins or Release is
  // called.
  void Reserve(uint32_t index, uint64_t token);
  void ReleaseReservation(uint32_t index);
  bool IsReserved(uint32_t index) const;
  bool AnyReserved() const { return reserved_count_ != 0; }

  // Reads the entries again if the bell says that anybody joined or left since. `head` is the number of slots committed.
  void Refresh(uint64_t head) {
    // Acquire: who sees the new count sees the entry that changed. A change that is not seen now is seen by the
    // next call; where that matters the caller fences first.
    const uint64_t rung = bell_->load(std::memory_order_acquire);
    if (rung != seen_bell_) [[unlikely]]
      AnswerBell(rung, head);
  }
  // The same whatever the bell says: looks at the next part in turn, or at all parts.
  void LookInTurn(uint64_t head);
  void LookAtAll(uint64_t head);

  // Replaces the part at `index` by a fresh one: whoever was there is forgotten, and so is whom a place there was kept for.
  void Renew(size_t index, const ControlView& fresh, uint64_t head);

  // Changes when those that the producer knows of do.
  uint64_t revision() const { return revision_; }
  struct Known {
    uint32_t index;
    uint64_t state;   // of its entry
    uint32_t pins;    // how many of them count
    bool waits_long;  // it reads every slot, and has agreed to nothing if it is too slow
  };
  // Calls tell(Known) for each of them, in the order of places.
  template <typename Tell>
  void TellKnown(Tell tell) const {
    for (const Place& place : active_) {
      tell(Known{.index = place.index,
                 .state = place.state,
                 .pins = place.pins,
                 .waits_long = place.waited_for && place.when_slow == WhenSlow::kBlock});
    }
  }

  // Consumers that are attached, not known to be dead, and have chosen the slot that they start with.
  uint32_t CountSettled() const {
    uint32_t count = 0;
    // Acquire: pairs with the release at the end of Join.
    for (const Place& place : active_)
      count += place.entry->wait_state.load(std::memory_order_acquire) == kNotYet ? 0 : 1;
    return count;
  }

  struct Slowest {
    uint64_t cursor;  // every slot below it may be written over; UINT64_MAX if nobody is waited for
    uint32_t index;   // whose cursor that is; kNobody, or that of a reserved place that nobody has taken yet
    bool is_group = false;  // `index` is a group's
  };
  static constexpr uint32_t kNobody = UINT32_MAX;
  // The slowest of those that a lossless producer waits for: consumers that read every slot, or groups.
  Slowest FindSlowest(uint64_t head);

  // True if a consumer may sleep: then the caller fences, and looks at FindSleepers.
  bool AnyMaySleep() const {
    uint32_t states = 0;
    // Relaxed: a consumer that goes to sleep unseen looks again after a short time, and is seen from then on.
    for (const Place& place : active_) states |= place.entry->wait_state.load(std::memory_order_relaxed);
    return states != kAwake;
  }
  // Consumers that say that they sleep until slot `cursor` comes.
  struct Sleepers {
    uint64_t cursor;
    int count;
  };
  // Those who have to be woken, since their slot is below `head`. Who has been taken out of its sleep for its cursor is left
  // out: it looks again by itself, or is stopped, and would cost a system call for every slot. Valid until the next call.
  const std::vector<Sleepers>& FindSleepers(uint64_t head);
  // For who has woken as many as were found.
  void NoteWoken(const Sleepers& sleepers);
  // How many say that they sleep until slot `cursor` comes, which is not committed.
  int CountSleepersFor(uint64_t cursor) const;

  // What the consumer at `index` has agreed to when it holds the producer up, and after how long. What makes no sense
  // is taken for kBlock.
  struct Agreement {
    WhenSlow when_slow;
    int64_t patience_ns;
  };
  Agreement AgreementOf(uint32_t index);
  // From now on the consumer at `index` does not hold back slots below `head` (kDropBacklog), or none at all (kCutOff).
  // Its pins count all the same. Returns the state word of its entry; 0 if nobody is there.
  uint64_t GiveUpOn(uint32_t index, WhenSlow how, uint64_t head);

  // False if none of the consumers declares pins.
  bool AnyPins() const {
    return std::any_of(active_.begin(), active_.end(), [](const Place& place) { return place.pins != 0; });
  }
  // Marks the pinned chunks in `pinned`, which has one bool for each chunk; false if there are more pins than
  // max_pins, of which only so many are honoured. Call after a full fence that follows the change of the
  // descriptors (edge P in ring_writer.h).
  bool MarkPinned(std::vector<bool>& pinned);

  // Asks the kernel about those who are waited for below `needed_cursor` (a group's members are told apart from the dead,
  // but what those held is still waited for), about all, or about all that sleep or hold a pin, and forgets the dead. True
  // if there were any.
  bool EvictDeadBelow(uint64_t needed_cursor);
  bool EvictAllDead();
  bool EvictDeadSleepers();
  bool EvictDeadPinners();

  // For waiting: the word that `blocker`, a consumer or a group, changes when it goes on.
  const std::atomic<uint64_t>& progress_word(const Slowest& blocker) const {
    return blocker.is_group ? PartOfGroup(blocker.index).group(blocker.index).releases
                            : PartOf(blocker.index).entry(blocker.index).cursor;
  }

  uint64_t evicted_consumers() const { return evicted_consumers_; }
  uint64_t invalid_values() const;

 private:
  struct Place {
    const ConsumerEntry* entry;
    uint32_t index;
    uint64_t state;           // as it was when the consumer was seen to be active
    uint64_t highest_cursor;  // the highest valid one seen: a cursor that goes back is not followed
    uint64_t waited_from;     // below it this consumer holds nothing back
    uint64_t told_cursor;  // where its cursor was when it was taken out of its sleep; kNever if it never was
    bool waited_for;       // reads every slot
    uint32_t group;        // 1 + the index of its group; 0: none
    WhenSlow when_slow;
    int64_t patience_ns;
    uint32_t pins;  // how many of its pins may be set
  };

  struct Part {
    ControlView view;
    uint64_t seen_changes = 0;
    bool unread = true;  // its entries are to be read
  };

  static constexpr uint64_t kNever = UINT64_MAX;
  // What the bell may cost.
  static constexpr size_t kLooksPerTurn = 4;
  static constexpr size_t kMostBellsSaved = 2;

  void AnswerBell(uint64_t rung, uint64_t head);
  // True if it has changed.
  static bool Look(Part& part);
  void ReadUnreadParts(uint64_t head);
  void ReadPart(const ControlView& part, std::vector<Place>::const_iterator& known,
                std::vector<Place>::const_iterator end, uint64_t head);
  const ControlView& PartOf(uint32_t index) const;
  const ControlView& PartOfGroup(uint32_t group) const;
  Place MakePlace(const ControlView& part, uint32_t index, uint64_t state, uint64_t head);
  uint64_t ReadCursor(Place& place, uint64_t head);
  Place* FindPlace(uint32_t index);
  static bool IsSleeping(const Place& place);
  template <typename Wants>
  bool EvictDead(Wants wants);

  const std::atomic<uint64_t>* bell_;
  uint64_t seen_bell_;
  uint64_t revision_ = 0;
  std::vector<Part> parts_;
  size_t turn_ = 0;
  size_t looks_to_spend_;
  uint32_t max_pins_;
  LivenessProbe is_alive_;
  std::vector<Place> active_;
  std::vector<Place> known_before_;  // of a reading; kept for its memory
  std::vector<Sleepers> sleepers_;
  std::vector<GroupProgress> groups_;
  std::vector<uint64_t> dead_states_;      // by index: the state word of a consumer that was found dead
  std::vector<uint64_t> reserved_tokens_;  // by index: 0 if not reserved
  uint32_t reserved_count_ = 0;
  uint64_t evicted_consumers_ = 0;
  uint64_t invalid_values_ = 0;
};

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_RING_CONSUMER_ROSTER_H_
