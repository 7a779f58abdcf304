// Pipeline groups: the claim words by which the members of a group share the slots of a ring, each slot to one of them, and
// to another if that one dies before it has released it.
//
//   producer                          member A                            member B, who found nothing to read
//   1. every group's word of slot
//      s - capacity is done <-- G --  5. (s, done) (release)
//   2. write payload, descriptor
//   3. store the stamp      -- A -->  1. load the stamp of s
//                                     2. the word says that nobody has s
//                                     3. CAS: (s, claimed, A)  -- C --->  1. the word is (s, claimed, A, n)
//                                     4. read the payload in place        2. the lock of A's place is free
//                                        (dies: the kernel drops  - K ->  3. CAS: (s, claimed, B, n + 1)
//                                         the lock of its place)          4. read it, as redelivered
//
// A: as in ring_writer.h: who sees stamp == s + 1 sees every byte of slot s.
// G: a producer that sees done has nothing to fear from who read the slot. It computes a group's cursor, the end of the run of
//    done words, itself: no index is read from control. A slot stays in its cell until it is done for every group, so a word
//    that says that nobody has s, and has not changed until the CAS, is of a slot that is still there.
// C: every change of a word is one compare-and-swap from exactly the word that was judged, and no word comes twice: the
//    number of the slot grows, and within one slot `redeliveries` counts each time that it is taken away from a dead member.
//    (Without that count a word could come back, if the dead member's place is taken by somebody who then claims the same
//    slot: B's CAS, based on its look at the lock before, would succeed as well.) A living member's word is changed by
//    nobody else, so its done is a plain store.
// K: the kernel drops a lock after its holder's last access. Whoever takes a place first opens again what is still claimed
//    under it (ReopenPlace): from then on the lock would speak for somebody who does not have it.
// W: a producer that sleeps for a group: it says so (waiting_place), fences, and looks at the words once more; a member stores
//    done, fences if the producer may sleep, and looks whether it does. Whichever is second sees the first.
//
// Nobody is told of a slot that becomes free because its holder is dead: members that find nothing to read look back over the
// whole ring every kLivenessInterval, and so does a producer that waits for a group look at its words.
#ifndef PYLABHUB_SHM_RING_GROUP_CLAIMS_H_
#define PYLABHUB_SHM_RING_GROUP_CLAIMS_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>

#include "shm/segment/control_segment.h"
#include "shm/segment/data_segment.h"
#include "shm/segment/layout.h"

namespace pylabhub::shm {

// How far a group has come, as its producer sees it, to whom the words are input. Thread safety: thread-compatible; it
// belongs to the producer's thread.
class GroupProgress {
 public:
  GroupProgress(const ControlView& control, uint32_t group);

  // Every slot below the answer is done, of those below `head`, the number of slots committed. Never goes back. Takes time
  // for the slots that were done since the last call only.
  uint64_t DoneBelow(uint64_t head);
  // The last answer.
  uint64_t done_below() const { return done_below_; }
  // Words that no correct member writes, counted at each look at one that holds the group up.
  uint64_t invalid_words() const { return invalid_words_; }

 private:
  std::span<const std::atomic<uint64_t>> claims_;
  uint32_t max_consumers_;
  uint64_t done_below_ = 0;
  uint64_t invalid_words_ = 0;
};

// One member's hand in the claim words of its group. Thread safety: thread-compatible; it belongs to the member's thread.
class GroupMember {
 public:
  // True if the holder of the place lives: the kernel's word. Never asked about the member's own place.
  using LivenessProbe = std::function<bool(uint32_t place)>;

  struct Claim {
    uint64_t sequence = 0;
    bool redelivered = false;  // a member that is dead had it before
  };

  GroupMember(const ControlView& control, uint32_t group, uint32_t place, LivenessProbe holder_lives);

  // The first slot from `sequence` on that somebody may still have to claim: those before it are claimed or done. At most the
  // group's capacity beyond `head`, whatever the words say.
  uint64_t PassClaimed(uint64_t sequence, const std::atomic<uint64_t>& head) const;
  bool IsUnclaimed(uint64_t sequence) const;
  // Claims `sequence`, which is committed, if nobody has it.
  std::optional<Claim> TryClaim(uint64_t sequence);

  // True if TakeOver would try: nobody has the slot, or somebody who is dead, or its word makes no sense. May ask the kernel.
  bool IsAbandoned(uint64_t sequence) const;
  // Claims `sequence`, which is committed, if it is abandoned.
  std::optional<Claim> TakeOver(uint64_t sequence);

  // A claimed slot has been read.
  void Finish(uint64_t sequence);
  // After Finish: wakes the producer if it sleeps for this group, and for that slot. Call only if the producer may sleep.
  void WakeProducer(const ProducerWait& wait, uint64_t sequence);

  // Every slot below the answer is done for the group, of those below `head`, which are committed.
  uint64_t DoneBelow(uint64_t head) const;
  bool AllDoneBelow(uint64_t head) const { return DoneBelow(head) >= head; }

 private:
  bool HolderLives(uint64_t word) const;
  std::atomic<uint64_t>& WordOf(uint64_t sequence) const { return claims_[sequence % claims_.size()]; }
  std::optional<Claim> Swap(uint64_t sequence, uint64_t seen, uint32_t redeliveries);

  std::span<std::atomic<uint64_t>> claims_;
  GroupEntry* entry_;
  uint32_t group_;
  uint32_t first_place_;  // words count places from there
  uint32_t place_;
  LivenessProbe holder_lives_;
  mutable uint64_t done_below_ = 0;  // remembers how far DoneBelow has looked
};

// For who has just taken the lock of `place`, before it does anything else there: what is still claimed under it belongs to
// somebody who is dead, and becomes open.
void ReopenPlace(const ControlView& control, uint32_t place);

// Slots that were committed, as their stamps say: a producer that was killed may not have lived to move head.
uint64_t CommittedSlots(const DataView& data);
// How many of them `group` has still to read and release.
uint64_t CountUndone(const DataView& data, const ControlView& control, uint32_t group);

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_RING_GROUP_CLAIMS_H_
