// Joining a lossless channel while its producer writes (shm/channel/membership.h, shm/ring/consumer_roster.h): edge J. A
// newcomer starts at the newest slot, and reads in place at once; or at the oldest that is kept: then it copies, as under an
// overwriting policy, until the producer has acknowledged that it waits for it.
//
// HOSTILE_BELL: as where control is handed over in parts. Each consumer counts its changes in its own part, and then in the bell,
// which a hostile one sets back whenever it likes. The producer looks at one part in turn at each Acquire as well, and nobody reads
// in place before it is acknowledged, wherever it starts; what it was not counted for, it may lose.
//
// Never: a slot from the newcomer's start on that is overwritten unread (newest), or is overwritten and not passed over
// (oldest); one that is torn; anybody who waits for ever. A newcomer may be killed at any step, and its place taken again.
//
// BUFFERED: whether consumers have store buffers too. All that they store before they announce themselves is in memory when
// the announcement is, so with a fence there it should not matter, and does not in the bounds that have one.
//
// everyday: -DBUFFERED=1 -DCAPACITY=2 -DPLACES=1 -DSLOTS=4 -DCRASHES=0
// everyday: -DBUFFERED=0 -DCAPACITY=1 -DPLACES=2 -DSLOTS=2 -DCRASHES=0
// everyday: -DBUFFERED=0 -DCAPACITY=1 -DPLACES=1 -DSLOTS=2 -DCRASHES=1
// everyday: -DHOSTILE_BELL -DBUFFERED=0 -DCAPACITY=1 -DPLACES=1 -DSLOTS=2 -DCRASHES=0
// soak: -DBUFFERED=1 -DCAPACITY=1 -DPLACES=1 -DSLOTS=3 -DCRASHES=1
// soak: -DBUFFERED=1 -DCAPACITY=1 -DPLACES=2 -DSLOTS=2 -DCRASHES=0
// soak: -DBUFFERED=0 -DCAPACITY=2 -DPLACES=2 -DSLOTS=3 -DCRASHES=0
//
// MUTANT_NO_FENCE_IN_EXTEND_LIMIT    lost -DBUFFERED=0 -DCAPACITY=1 -DPLACES=2 -DSLOTS=2 -DCRASHES=0
// MUTANT_NO_FENCE_IN_JOIN            torn
// MUTANT_NO_REFRESH_IN_EXTEND_LIMIT  lost -DBUFFERED=0 -DCAPACITY=1 -DPLACES=2 -DSLOTS=2 -DCRASHES=0
// MUTANT_ACTIVE_AFTER_ANNOUNCEMENT   torn
// MUTANT_START_BEFORE_ANNOUNCEMENT   lost
// MUTANT_IN_PLACE_WITHOUT_ACK        torn
// MUTANT_ACK_KEEPS_THE_LIMIT         torn
// MUTANT_ACK_WITH_A_SLOT_PREPARED    torn
// MUTANT_ACK_IS_RELAXED              lost
// MUTANT_STAMP_BEFORE_ACK            torn
// MUTANT_BELL_IS_TRUSTED             torn -DHOSTILE_BELL -DBUFFERED=0 -DCAPACITY=1 -DPLACES=1 -DSLOTS=2 -DCRASHES=0
// MUTANT_DEAD_CONSUMER_STAYS         deadlock -DBUFFERED=0 -DCAPACITY=1 -DPLACES=2 -DSLOTS=2 -DCRASHES=1

#ifndef DEPTH
#define DEPTH 2
#endif
#define CONSUMERS 2
#define PRODUCER 0
#define CONSUMER(c) (1 + (c))
#define PROCESSES (1 + CONSUMERS)

#define stamp(s) ((s) % CAPACITY)
#define payload(s) (CAPACITY + (s) % CAPACITY)
#define head (2 * CAPACITY)
#define bell (2 * CAPACITY + 1)
#define state(p) (2 * CAPACITY + 2 + (p))
#define cursor(p) (2 * CAPACITY + 2 + PLACES + (p))
#define acknowledged_state(p) (2 * CAPACITY + 2 + 2 * PLACES + (p))
#define membership_changes(p) (2 * CAPACITY + 2 + 3 * PLACES + (p))  // of a part
#ifdef HOSTILE_BELL
#define WORDS (2 * CAPACITY + 2 + 4 * PLACES)
#else
#define WORDS (2 * CAPACITY + 2 + 3 * PLACES)
#endif
#include "memory.pml"
#include "crash.pml"

#define kNoSlot 0
#define kJoining 0
#define kActive(use) (use)

bool torn, lost;
byte place_lock[PLACES];  // the process that took the place's lock last; 0: nobody
#define place_lives(p) (place_lock[p] != 0 && lives(place_lock[p]))

// --- The producer and its roster. (Sequence numbers only grow, so 0 stands for no state.)

byte known_state[PLACES];  // of the consumer that it waits for there; 0: nobody
byte dead_state[PLACES];   // of one that was found dead there
byte told_state[PLACES];   // of whom the producer has acknowledged there
byte seen_bell;
#ifdef HOSTILE_BELL
byte seen_changes[PLACES];
#endif

inline ReadEntry(p) {
  d_step {
    if
    :: memory[state(p)] == kJoining || memory[state(p)] == dead_state[p] -> known_state[p] = 0
    :: else ->
       if
       :: known_state[p] != memory[state(p)] ->
          known_state[p] = memory[state(p)];
          highest_cursor[p] = (memory[cursor(p)] < next -> memory[cursor(p)] : next)
       :: else
       fi
    fi
  }
}

#ifdef MUTANT_ACK_IS_RELAXED
#define say_acknowledged(word, value) store(word, value)
#else
#define say_acknowledged(word, value) store_release(word, value)
#endif

inline TellPlace(p) {
  if
  :: told_state[p] != known_state[p] ->
     told_state[p] = known_state[p];
     say_acknowledged(acknowledged_state(p), told_state[p])
  :: else
  fi
}

// Who is waited for from now on is told so, once no slot can be written that was allowed before.
inline Acknowledge() {
#ifndef MUTANT_ACK_KEEPS_THE_LIMIT
  limit = 0;
#endif
  TellPlace(0)
#if PLACES > 1
  ;
  TellPlace(1)
#endif
}

#ifdef HOSTILE_BELL
inline LookAtPart(p) {
  if
  :: memory[membership_changes(p)] != seen_changes[p] ->
     seen_changes[p] = memory[membership_changes(p)];
     ReadEntry(p)
  :: else
  fi
}

// The next part, whatever the bell says.
inline LookInTurn() {
  turn = (turn + 1) % PLACES;
  LookAtPart(turn);
  Acknowledge()
}
#else
#define LookAtPart(p) ReadEntry(p)
#endif

// Looks at the entries if the bell says that anybody joined since.
inline Refresh() {
  if
  :: memory[bell] != seen_bell ->
     seen_bell = memory[bell];
     LookAtPart(0);
#if PLACES > 1
     LookAtPart(1);
#endif
     Acknowledge()
  :: else
  fi
}

inline ReadCursor(p) {
  if
  :: known_state[p] != 0 ->
     if
     :: memory[cursor(p)] > highest_cursor[p] && memory[cursor(p)] <= next -> highest_cursor[p] = memory[cursor(p)]
     :: else
     fi;
     if :: highest_cursor[p] < limit -> limit = highest_cursor[p] :: else fi
  :: else
  fi
}

inline ExtendLimit() {
#ifndef MUTANT_NO_FENCE_IN_EXTEND_LIMIT
  full_fence();
#endif
#ifndef MUTANT_NO_REFRESH_IN_EXTEND_LIMIT
  Refresh();
#endif
  d_step {
    limit = next;
    ReadCursor(0);
#if PLACES > 1
    ReadCursor(1);
#endif
    limit = limit + CAPACITY
  }
}

#define needed_cursor (next + 1 - CAPACITY)
#define holds_back(p) (known_state[p] != 0 && highest_cursor[p] < needed_cursor)
#define has_moved(p) (holds_back(p) && memory[cursor(p)] >= needed_cursor)
#define is_dead(p) (holds_back(p) && !place_lives(p))

inline EvictDead(p) { d_step { dead_state[p] = known_state[p]; known_state[p] = 0 } }

inline Acquire() {
#ifdef HOSTILE_BELL
  LookInTurn();
#endif
  do
  :: next < limit -> break
  :: next >= limit ->
     ExtendLimit();
     if
     :: next < limit
#if PLACES > 1
     :: next >= limit && (has_moved(0) || has_moved(1))
#else
     :: next >= limit && has_moved(0)
#endif
#ifndef MUTANT_DEAD_CONSUMER_STAYS
     :: next >= limit && is_dead(0) -> EvictDead(0)
#if PLACES > 1
     :: next >= limit && is_dead(1) -> EvictDead(1)
#endif
#endif
     :: next >= limit && memory[bell] != seen_bell
     fi
  od
#ifdef MUTANT_ACK_WITH_A_SLOT_PREPARED
  ;
  Refresh()
#endif
}

inline Commit() {
  store(stamp(next), kNoSlot);
  store_release(payload(next), next + 1);
  store_release(stamp(next), next + 1);
  next++;
  store_release(head, next);
  Refresh()
}

active proctype producer() {
  byte me = PRODUCER;
  byte next, limit;
#ifdef HOSTILE_BELL
  byte turn;
#endif
  byte highest_cursor[PLACES];
  do
  :: next < SLOTS -> Acquire(); Commit()
  :: else -> break
  od
}

// --- A consumer.

#if BUFFERED
#define say(word, value) store(word, value)
#define say_release(word, value) store_release(word, value)
#else
#define say(the_word, value) memory[the_word] = value
#define say_release(the_word, value) memory[the_word] = value
#endif

inline Announce() {
#ifdef HOSTILE_BELL
  fetch_add(membership_changes(p), rung);
#endif
#ifdef MUTANT_NO_FENCE_IN_JOIN
  rung = memory[bell] + 1;
  say(bell, rung);
#else
  fetch_add(bell, rung);
#endif
  rung = 0
}

inline Join() {
  say_release(state(p), kJoining);
  load(head, expected);
  if
  :: from_oldest && expected > CAPACITY -> expected = expected - CAPACITY
  :: from_oldest && expected <= CAPACITY -> expected = 0
  :: !from_oldest
  fi;
  say(cursor(p), expected);
#ifdef MUTANT_ACTIVE_AFTER_ANNOUNCEMENT
  Announce();
  say_release(state(p), kActive(me));
#else
  say_release(state(p), kActive(me));
  Announce();
#endif
  if
  :: !from_oldest ->
#ifndef MUTANT_START_BEFORE_ANNOUNCEMENT
     load(head, expected);
#endif
     say_release(cursor(p), expected)
  :: else
  fi
}

inline Release() {
  expected++;
  say_release(cursor(p), expected)
}

#define stamp_now memory[stamp(expected)]
#define is_there (stamp_now == expected + 1)
// One that is waited for is never lapped.
#define was_lapped (stamp_now > expected + 1 || (stamp_now == kNoSlot && memory[head] > expected))

inline SkipLap() {
  d_step {
    expected++;
    if
    :: memory[head] > CAPACITY && memory[head] - CAPACITY > expected -> expected = memory[head] - CAPACITY
    :: else
    fi
  };
  say_release(cursor(p), expected)
}

#ifdef MUTANT_IN_PLACE_WITHOUT_ACK
#define may_be_counted true
#else
#define is_acknowledged (memory[acknowledged_state(p)] == kActive(me))
#if defined(HOSTILE_BELL) && !defined(MUTANT_BELL_IS_TRUSTED)
#define may_be_counted is_acknowledged
#else
#define may_be_counted (!from_oldest || is_acknowledged)
#endif
#endif

#ifdef HOSTILE_BELL
#define counts_from_the_start false
#else
#define counts_from_the_start (!from_oldest)
#endif

// What nobody looks at any more is to make no states of its own.
inline Forget() { p = 0; expected = 0; rung = 0; copy = 0; from_oldest = false; in_place = false; is_settled = false }

proctype consumer(byte me) {
  byte p, expected, rung, copy;
  bool from_oldest, in_place, is_settled;
end_finds_no_place:
  atomic {
    if
    :: !place_lives(0) -> p = 0
#if PLACES > 1
    :: place_lives(0) && !place_lives(1) -> p = 1
#endif
    fi;
    place_lock[p] = me
  };
  {
    if
    :: true -> from_oldest = true
    :: true
    fi;
    Join();
    do
    :: expected >= SLOTS -> break
    :: expected < SLOTS && is_there ->
#ifdef MUTANT_STAMP_BEFORE_ACK
       in_place = may_be_counted;
#endif
       copy = memory[payload(expected)];
       if
       :: in_place ->
          // What is wrong at any moment of reading in place is seen by this one look.
          torn = copy != expected + 1;
          assert(!torn);
          is_settled = true;
          Release()
       :: !in_place && is_there ->
          torn = copy != expected + 1;
          assert(!torn);
          Release()
       :: !in_place && !is_there
       fi;
       copy = 0
    :: expected < SLOTS && !is_there && was_lapped ->
       lost = counts_from_the_start || is_settled;
       assert(!lost);
       is_settled = in_place;
       SkipLap()
#ifndef MUTANT_STAMP_BEFORE_ACK
    // Before the look at the stamp: what was withdrawn before the producer counted this consumer is seen then.
    :: expected < SLOTS && !in_place && may_be_counted -> in_place = true
#endif
    od;
    atomic { ended[me] = true; Forget() }
  } unless { atomic { killed[me] -> Forget() } }
}

active proctype killer() {
end:
  do
  :: kill(CONSUMER(0))
  :: kill(CONSUMER(1))
  od
}

#ifdef HOSTILE_BELL
// The producer is not to hear of whoever has just rung.
active proctype hostile_consumer() {
end:
  do
  :: memory[bell] != seen_bell -> memory[bell] = seen_bell
  od
}
#endif

init {
  atomic {
    run consumer(CONSUMER(0));
    run consumer(CONSUMER(1));
#if BUFFERED
    run store_buffer(CONSUMER(0));
    run store_buffer(CONSUMER(1));
#endif
    run store_buffer(PRODUCER)
  }
}
