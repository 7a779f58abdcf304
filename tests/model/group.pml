// A pipeline group (shm/ring/group_claims.h): members share the slots, each goes to one of them, and what a dead member held
// goes to another. The producer works out from the claim words alone what it may write over.
//
// Never: a slot that is lost, torn, or held by two living members; one that is handed out again after it was done; anybody
// who waits for ever while one member lives. Anybody may be killed at any step, and a newcomer takes a dead member's place.
//
// A member waits here until there is something for it to do in any cell. That is what a look at all cells in each slice of
// its sleep comes to; sleep.pml is about the sleep itself.
//
// everyday: -DSLOTS=3 -DCRASHES=1
// everyday: -DSLOTS=2 -DCRASHES=2
// soak: -DSLOTS=3 -DCRASHES=2
//
// MUTANT_CLAIM_IS_NO_SWAP          duplicated
// MUTANT_NO_PROBE                  duplicated
// MUTANT_NO_REDELIVERY_COUNT       duplicated
// MUTANT_NO_REOPENING              deadlock
// MUTANT_NO_REDELIVERY             deadlock -DSLOTS=2 -DCRASHES=2
// MUTANT_NO_SECOND_LOOK            deadlock
// MUTANT_DONE_BEFORE_READ          torn
// MUTANT_STAMP_BEFORE_PAYLOAD      torn
// MUTANT_CLAIMED_COUNTS_AS_DONE    lost

#define CAPACITY 2
#define MEMBERS 3
#define PLACES 2  // so that the third member comes to a place that a dead one had
#define NO_PLACE PLACES
#define DEPTH 2
#define PRODUCER 0
#define MEMBER(m) (1 + (m))
#define PROCESSES (1 + MEMBERS)
#define WORD short

#define stamp(s) ((s) % CAPACITY)
#define payload(s) (CAPACITY + (s) % CAPACITY)
#define claim(s) (2 * CAPACITY + (s) % CAPACITY)
#define WORDS (3 * CAPACITY)
#include "memory.pml"
#include "crash.pml"

#define kNoSlot 0

// A claim word: sequence, redeliveries, state, place.
#define kOpen 0
#define kClaimed 1
#define kDone 2
#define claim_word(sequence, redeliveries, state, place) \
  ((sequence) * 32 + ((redeliveries) % 4) * 8 + (state) * 2 + (place))
#define sequence_of(word) ((word) / 32)
#define redeliveries_of(word) (((word) / 8) % 4)
#define state_of(word) (((word) / 2) % 4)
#define place_of(word) ((word) % 2)
#ifdef MUTANT_NO_REDELIVERY_COUNT
#define one_more(word) 0
#else
#define one_more(word) (redeliveries_of(word) + 1)
#endif

byte committed;        // slots whose stamp the producer has stored
bool finished[SLOTS];  // the slot is done: nobody will touch it again
byte holder[SLOTS];    // the process that has claimed it last; 0: none
bool torn, lost, duplicated;

byte place_lock[PLACES];  // the process that took the place's lock last; 0: it was given back
#define place_lives(place) (place_lock[place] != 0 && !killed[place_lock[place]])

// --- The producer.

#define is_done(s) (sequence_of(memory[claim(s)]) == (s) && state_of(memory[claim(s)]) == kDone)
#define is_taken(s) (sequence_of(memory[claim(s)]) == (s) && state_of(memory[claim(s)]) >= kClaimed)

inline Acquire() {
  do
  :: next < done_below + CAPACITY -> break
#ifdef MUTANT_CLAIMED_COUNTS_AS_DONE
  :: next >= done_below + CAPACITY && is_taken(done_below) -> done_below++
#else
  :: next >= done_below + CAPACITY && is_done(done_below) -> done_below++
#endif
  od
}

inline Commit() {
  d_step { lost = next >= CAPACITY && !finished[next - CAPACITY]; assert(!lost) }
  store(stamp(next), kNoSlot);
#ifdef MUTANT_STAMP_BEFORE_PAYLOAD
  atomic { store_release(stamp(next), next + 1); committed++ };
  store_release(payload(next), next + 1);
#else
  store_release(payload(next), next + 1);
  atomic { store_release(stamp(next), next + 1); committed++ };
#endif
  next++
}

active proctype producer() {
  byte me = PRODUCER;
  byte next, done_below;
  {
    do
    :: next < SLOTS -> Acquire(); Commit()
    :: else -> break
    od;
    ended[PRODUCER] = true
  } unless { killed[PRODUCER] }
}

// --- A member. Its own stores go straight to memory: all are swaps but the one that says done, whose delay would only look
// like a member that is slower.

#ifdef MUTANT_NO_SECOND_LOOK
#define looks_at(s) ((s) >= next)
#else
#define looks_at(s) true
#endif
#ifdef MUTANT_NO_REDELIVERY
#define left_by_the_dead(word) false
#elif defined(MUTANT_NO_PROBE)
#define left_by_the_dead(word) (state_of(word) == kClaimed && place_of(word) != place)
#else
#define left_by_the_dead(word) (state_of(word) == kClaimed && place_of(word) != place && !place_lives(place_of(word)))
#endif
#define to_be_had(word, s) (sequence_of(word) < (s) || \
  (sequence_of(word) == (s) && (state_of(word) == kOpen || left_by_the_dead(word))))
#define has_work(cell) (memory[stamp(cell)] != kNoSlot && looks_at(memory[stamp(cell)] - 1) && \
  to_be_had(memory[claim(cell)], memory[stamp(cell)] - 1))

#define done_or_never_came(s) ((s) >= committed || finished[s])
#define segment_is_drained (committed_all && done_or_never_came(0) && done_or_never_came(1) && \
  done_or_never_came(SLOTS - 2) && done_or_never_came(SLOTS - 1))
#define committed_all (drained(PRODUCER) && (killed[PRODUCER] || committed == SLOTS))

inline TakePlace() {
  atomic {
    if
    :: !place_lives(0) -> place = 0
    :: place_lives(0) && !place_lives(1) -> place = 1
    fi;
    place_lock[place] = me
  }
}

// What the place's last holder had claimed is open again. Load and swap in one step: nobody else can put such a word there.
inline Reopen(s) {
  d_step {
    word = memory[claim(s)];
    if
    :: state_of(word) == kClaimed && place_of(word) == place ->
       memory[claim(s)] = claim_word(sequence_of(word), one_more(word), kOpen, place)
    :: else
    fi;
    word = 0
  }
}

inline Claim() {
  atomic {
#ifdef MUTANT_CLAIM_IS_NO_SWAP
    won = true;
#else
    won = memory[claim(cell)] == word;
#endif
    if
    :: won ->
       memory[claim(cell)] = claim_word(sequence, redeliveries, kClaimed, place);
       duplicated = finished[sequence] || (holder[sequence] != 0 && !killed[holder[sequence]]);
       assert(!duplicated);
       holder[sequence] = me
    :: else
    fi
  }
}

inline Read() { d_step { torn = memory[payload(cell)] != sequence + 1; assert(!torn) } }

inline Release() {
  d_step { finished[sequence] = true; memory[claim(cell)] = claim_word(sequence, redeliveries, kDone, place) }
}

// What nobody looks at any more is to make no states of its own.
inline Forget() { place = 0; cell = 0; sequence = 0; redeliveries = 0; word = 0; won = false }

proctype member(byte me; byte place) {
  byte cell, sequence, redeliveries;
  short word;
  bool won;
#ifdef MUTANT_NO_SECOND_LOOK
  byte next;
#endif
  if
  :: place == NO_PLACE ->
end_finds_no_place:
     TakePlace()
  :: else
  fi;
  {
#ifndef MUTANT_NO_REOPENING
    Reopen(0);
    Reopen(1);
#endif
    do
    :: segment_is_drained -> break
    :: atomic {
         has_work(0) || has_work(1);
         if
         :: has_work(0) -> cell = 0
         :: has_work(1) -> cell = 1
         fi;
         sequence = memory[stamp(cell)] - 1
       }
       word = memory[claim(cell)];
       if
       :: sequence_of(word) < sequence -> redeliveries = 0
       :: sequence_of(word) == sequence && state_of(word) == kOpen -> redeliveries = redeliveries_of(word)
       :: sequence_of(word) == sequence && left_by_the_dead(word) -> redeliveries = one_more(word)
       :: else -> goto again
       fi;
       Claim();
       if
       :: won ->
#ifdef MUTANT_DONE_BEFORE_READ
          Release();
          Read()
#else
          Read();
          Release()
#endif
       :: else
       fi;
#ifdef MUTANT_NO_SECOND_LOOK
       next = sequence + 1;
#endif
again:
       skip;
       d_step { cell = 0; sequence = 0; redeliveries = 0; word = 0; won = false }
    od;
    atomic { ended[me] = true; place_lock[place] = 0; Forget() }
  } unless { atomic { killed[me] -> Forget() } }
}

active proctype killer() {
end:
  do
  :: kill(PRODUCER)
  :: kill(MEMBER(0))
  :: kill_second(MEMBER(1), MEMBER(0))
  :: kill(MEMBER(2))
  od
}

init {
  atomic {
    memory[claim(0)] = claim_word(0, 0, kOpen, 0);
    memory[claim(1)] = claim_word(1, 0, kOpen, 0);
    run store_buffer(PRODUCER);
    place_lock[0] = MEMBER(0);
    place_lock[1] = MEMBER(1);
    run member(MEMBER(0), 0);
    run member(MEMBER(1), 1);
    run member(MEMBER(2), NO_PLACE)
  }
}
