// Large payloads under an overwriting policy (shm/ring/ring_writer.h, chunk_pool.h, consumer_roster.h): edge P. A consumer
// pins the chunk that it reads in place, and looks at the stamp again; the writer writes into no chunk that is pinned, and
// never waits.
//
// Consumers join while the writer writes, and only if there are no more pins than max_pins then; those of the dead do not
// count. The pin of a dead consumer stays until its chunk is needed.
//
// Never: a chunk that changes while it is read; a writer that finds no chunk.
//
// everyday: -DCAPACITY=1 -DCONSUMERS=2 -DMAX_PINS=2 -DSLOTS=3 -DREADS=1 -DCRASHES=1
// everyday: -DCAPACITY=2 -DCONSUMERS=2 -DMAX_PINS=2 -DSLOTS=4 -DREADS=1 -DCRASHES=0
// everyday: -DCAPACITY=1 -DCONSUMERS=2 -DMAX_PINS=1 -DSLOTS=4 -DREADS=1 -DCRASHES=1
// soak: -DCAPACITY=1 -DCONSUMERS=2 -DMAX_PINS=2 -DSLOTS=4 -DREADS=2 -DCRASHES=1
// soak: -DCAPACITY=2 -DCONSUMERS=2 -DMAX_PINS=2 -DSLOTS=4 -DREADS=2 -DCRASHES=0
// soak: -DCAPACITY=1 -DCONSUMERS=3 -DMAX_PINS=2 -DSLOTS=2 -DREADS=1 -DCRASHES=0
// soak: -DCAPACITY=1 -DCONSUMERS=2 -DMAX_PINS=1 -DSLOTS=5 -DREADS=1 -DCRASHES=1
//
// MUTANT_NO_FENCE_IN_RECLAIM         torn
// MUTANT_NO_FENCE_IN_PIN             torn
// MUTANT_NO_SECOND_LOOK              torn
// MUTANT_STAMP_IS_NOT_WITHDRAWN      torn
// MUTANT_PINS_ARE_IGNORED            torn
// MUTANT_PIN_GOES_BEFORE_READ        torn
// MUTANT_STAMP_IS_RELAXED            torn
// MUTANT_JOINER_IS_SEEN_LATE         torn
// MUTANT_JOIN_IS_NOT_COUNTED         torn
// MUTANT_PINS_ARE_NOT_COUNTED        torn -DCAPACITY=1 -DCONSUMERS=2 -DMAX_PINS=1 -DSLOTS=4 -DREADS=1 -DCRASHES=1
// MUTANT_LEAVES_BEFORE_ITS_PIN       torn -DCAPACITY=1 -DCONSUMERS=2 -DMAX_PINS=1 -DSLOTS=4 -DREADS=1 -DCRASHES=1
// MUTANT_DEAD_PINS_STAY              torn -DCAPACITY=1 -DCONSUMERS=2 -DMAX_PINS=1 -DSLOTS=4 -DREADS=1 -DCRASHES=1
// MUTANT_ONE_CHUNK_TOO_FEW           waits -DCAPACITY=1 -DCONSUMERS=2 -DMAX_PINS=1 -DSLOTS=4 -DREADS=1 -DCRASHES=1

#define DEPTH 3  // so that a withdrawn stamp can still wait behind what follows it
#define PRODUCER 0
#define CONSUMER(c) (1 + (c))
#define PROCESSES (1 + CONSUMERS)

#ifdef MUTANT_ONE_CHUNK_TOO_FEW
#define CHUNKS (CAPACITY + MAX_PINS)
#else
#define CHUNKS (CAPACITY + 1 + MAX_PINS)
#endif

#define stamp(s) ((s) % CAPACITY)
#define chunk(s) (CAPACITY + (s) % CAPACITY)
#define payload(the_chunk) (2 * CAPACITY + (the_chunk))
#define pins(c) (2 * CAPACITY + CHUNKS + (c))
#define is_active(c) (2 * CAPACITY + CHUNKS + CONSUMERS + (c))
#define pins_declared(c) (2 * CAPACITY + CHUNKS + 2 * CONSUMERS + (c))
#define membership_changes (2 * CAPACITY + CHUNKS + 3 * CONSUMERS)
#define WORDS (membership_changes + 1)
#include "memory.pml"
#include "crash.pml"

#define kNoSlot 0
#define kNone 255

bool torn, waits;

// --- The producer: its roster, its chunk pool.

bool known[CONSUMERS];  // ConsumerRoster: active, and not found dead
byte seen_changes;

inline Refresh() {
  if
  :: memory[membership_changes] != seen_changes ->
     d_step {
       seen_changes = memory[membership_changes];
       i = 0;
       do
       :: i < CONSUMERS -> known[i] = memory[is_active(i)] && !found_dead[i]; i++
       :: else -> break
       od;
       i = 0
     }
  :: else
  fi
}

inline EvictDeadPinners() {
  d_step {
    i = 0;
    do
    :: i < CONSUMERS ->
       if
       :: known[i] && memory[pins(i)] != 0 && !lives(CONSUMER(i)) -> known[i] = false; found_dead[i] = true
       :: else
       fi;
       i++
    :: else -> break
    od;
    i = 0
  }
}

inline MarkPin(c) {
  d_step {
    if
    :: known[c] && memory[pins(c)] != 0 ->
       if
       :: honoured == MAX_PINS -> too_many = true
       :: else -> pinned[memory[pins(c)] - 1] = true; honoured++
       fi
    :: else
    fi
  }
}

// Which chunks are pinned, in `pinned`; only so many pins as were agreed on are honoured.
inline MarkPinned() {
  d_step { honoured = 0; too_many = false; i = 0; do :: i < CHUNKS -> pinned[i] = false; i++ :: else -> break od; i = 0 };
  MarkPin(0);
  MarkPin(1);
#if CONSUMERS > 2
  MarkPin(2);
#endif
  honoured = 0
}

inline Reclaim() {
#ifndef MUTANT_NO_FENCE_IN_RECLAIM
  full_fence();
#endif
#ifndef MUTANT_JOINER_IS_SEEN_LATE
  Refresh();
#endif
  MarkPinned();
  if
#ifndef MUTANT_DEAD_PINS_STAY
  :: too_many -> EvictDeadPinners(); MarkPinned()
#endif
  :: else
  fi;
  d_step {
    i = 0;
    do
    :: i < CHUNKS ->
#ifdef MUTANT_PINS_ARE_IGNORED
       if :: retired[i] -> retired[i] = false; free[free_count] = i; free_count++ :: else fi;
#else
       if :: retired[i] && !pinned[i] -> retired[i] = false; free[free_count] = i; free_count++ :: else fi;
#endif
       pinned[i] = false;
       i++
    :: else -> break
    od;
    i = 0;
    too_many = false
  }
}

inline AcquireChunk() {
  Reclaim();
  waits = free_count == 0;
  assert(!waits);
  d_step { free_count--; mine = free[free_count]; free[free_count] = 0 }
}

// A large payload is written in place, before the commit.
inline Commit() {
  store(payload(mine), next + 1);
#ifndef MUTANT_STAMP_IS_NOT_WITHDRAWN
  store(stamp(next), kNoSlot);
#endif
  d_step {
    if :: in_cell[next % CAPACITY] != kNone -> retired[in_cell[next % CAPACITY]] = true :: else fi;
    in_cell[next % CAPACITY] = mine
  };
  store_release(chunk(next), mine);
#ifdef MUTANT_STAMP_IS_RELAXED
  store(stamp(next), next + 1);
#else
  store_release(stamp(next), next + 1);
#endif
  next++;
  mine = 0;
  Refresh()
}

active proctype producer() {
  byte me = PRODUCER;
  byte next, mine, i, honoured, free_count = CHUNKS;
  bool too_many;
  byte in_cell[CAPACITY] = kNone;
  byte free[CHUNKS];
  bool retired[CHUNKS], pinned[CHUNKS], found_dead[CONSUMERS];
  d_step { do :: i < CHUNKS -> free[i] = i; i++ :: else -> break od; i = 0 };
  do
  :: next < SLOTS -> AcquireChunk(); Commit()
  :: else -> break
  od
}

// --- A consumer. It takes whatever slot there is in any cell: so do those that read the next one, and the newest.

inline Pin(value) {
#ifdef MUTANT_NO_FENCE_IN_PIN
  store(pins(c), value)
#else
  exchange(pins(c), value)
#endif
}

// Read in place: what is wrong at any moment of it is seen by one look.
inline Read() { torn = memory[payload(held)] != sequence; assert(!torn) }

// CountPins: of the others that live.
#define has_pin(c) (lives(CONSUMER(c)) && memory[pins_declared(c)] != 0)
#if CONSUMERS > 2
#define other_pins ((c != 0 && has_pin(0)) + (c != 1 && has_pin(1)) + (c != 2 && has_pin(2)))
#else
#define other_pins ((c != 0 && has_pin(0)) + (c != 1 && has_pin(1)))
#endif

// What nobody looks at any more is to make no states of its own.
inline Forget() { sequence = 0; held = 0; reads = 0 }

proctype consumer(byte me; byte c) {
  byte sequence, held, reads;
  {
    exchange(pins_declared(c), 1);
#ifndef MUTANT_PINS_ARE_NOT_COUNTED
    if
    :: other_pins >= MAX_PINS -> store(pins_declared(c), 0); goto refused
    :: else
    fi;
#endif
    store_release(is_active(c), 1);
#ifndef MUTANT_JOIN_IS_NOT_COUNTED
    fetch_add(membership_changes, held);
    held = 0;
#endif
    do
    :: reads < READS ->
       if
       :: atomic { memory[stamp(0)] != kNoSlot -> sequence = memory[stamp(0)] }
       :: atomic { memory[stamp(CAPACITY - 1)] != kNoSlot -> sequence = memory[stamp(CAPACITY - 1)] }
       fi;
       held = memory[chunk(sequence - 1)];
       Pin(held + 1);
       if
#ifdef MUTANT_NO_SECOND_LOOK
       :: true ->
#else
       :: memory[stamp(sequence - 1)] == sequence ->
#endif
#ifdef MUTANT_PIN_GOES_BEFORE_READ
          store_release(pins(c), 0);
          Read()
#else
          Read();
          store_release(pins(c), 0)
#endif
#ifndef MUTANT_NO_SECOND_LOOK
       :: else -> store_release(pins(c), 0)
#endif
       fi;
       reads++;
       d_step { sequence = 0; held = 0 }
    :: else -> break
    od;
    // Leave.
#ifdef MUTANT_LEAVES_BEFORE_ITS_PIN
    store(pins_declared(c), 0);
#else
    store_release(pins_declared(c), 0);
#endif
refused:
    atomic { ended[me] = true; Forget() }
  } unless { atomic { killed[me] -> Forget() } }
}

// The consumers are alike, so it matters not which one dies.
active proctype killer() {
end:
  do
  :: kill(CONSUMER(0))
#if CRASHES > 1
  :: kill_second(CONSUMER(1), CONSUMER(0))
#endif
  od
}

init {
  atomic {
    run consumer(CONSUMER(0), 0);
    run consumer(CONSUMER(1), 1);
#if CONSUMERS > 2
    run consumer(CONSUMER(2), 2);
    run store_buffer(CONSUMER(2));
#endif
    run store_buffer(PRODUCER);
    run store_buffer(CONSUMER(0));
    run store_buffer(CONSUMER(1))
  }
}
