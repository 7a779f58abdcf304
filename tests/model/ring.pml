// The lossless ring (shm/ring/ring_writer.h, ring_reader.h): edges A and B, small payloads read in place, and the end of
// either side.
//
// Never: a slot that is lost, torn, out of order or given twice; anybody who waits for ever. Anybody may be killed at any
// step.
//
// everyday: -DSLOTS=4 -DCRASHES=1
// everyday: -DSLOTS=3 -DCRASHES=2
// soak: -DSLOTS=6 -DCRASHES=2 -DDEPTH=3
//
// MUTANT_LIMIT_IS_ONE_TOO_HIGH     lost
// MUTANT_EVICTS_THE_LIVING         lost
// MUTANT_DEAD_CONSUMER_STAYS       deadlock
// MUTANT_ABORT_BURNS_A_NUMBER      deadlock
// MUTANT_STAMP_BEFORE_PAYLOAD      torn
// MUTANT_STAMP_IS_RELAXED          torn
// MUTANT_CURSOR_BEFORE_READ        torn
// MUTANT_DEAD_PRODUCER_UNNOTICED   deadlock
// MUTANT_NO_LOOK_AFTER_DEATH       unread

#define CAPACITY 2
#define CONSUMERS 2
#ifndef DEPTH
#define DEPTH 2
#endif
#define PRODUCER 0
#define CONSUMER(c) (1 + (c))
#define PROCESSES (1 + CONSUMERS)

#define stamp(s) ((s) % CAPACITY)
#define payload(s, half) (CAPACITY + 2 * ((s) % CAPACITY) + (half))
#define cursor(c) (3 * CAPACITY + (c))
#define closed_at (3 * CAPACITY + CONSUMERS)
#define WORDS (closed_at + 1)
#include "memory.pml"
#include "crash.pml"

#define kNoSlot 0

byte committed;            // slots whose stamp the producer has stored
byte finished[CONSUMERS];  // slots that the consumer will not touch again
bool torn, lost, unread;

#define needs(c) (lives(CONSUMER(c)) && finished[c] < next + 1 - CAPACITY)

// --- The producer.

bool known[CONSUMERS] = true;  // by its ConsumerRoster: not found dead yet
#define needed_cursor (next + 1 - CAPACITY)
#define holds_back(c) (known[c] && memory[cursor(c)] < needed_cursor)

inline ExtendLimit() {
  d_step {
    limit = next;
    if :: known[0] -> limit = memory[cursor(0)] :: else fi;
    if :: known[1] && (!known[0] || memory[cursor(1)] < limit) -> limit = memory[cursor(1)] :: else fi;
#ifdef MUTANT_LIMIT_IS_ONE_TOO_HIGH
    limit++;
#endif
    limit = limit + CAPACITY
  }
}

inline Acquire() {
  do
  :: next < limit -> break
  :: next >= limit && !holds_back(0) && !holds_back(1) -> ExtendLimit()
#ifdef MUTANT_EVICTS_THE_LIVING
  :: next >= limit && holds_back(0) -> known[0] = false
#elif !defined(MUTANT_DEAD_CONSUMER_STAYS)
  // EvictDeadBlockers.
  :: next >= limit && holds_back(0) && !lives(CONSUMER(0)) -> known[0] = false
  :: next >= limit && holds_back(1) && !lives(CONSUMER(1)) -> known[1] = false
#endif
  od
}

inline Abort() {
  aborted = true;
#ifdef MUTANT_ABORT_BURNS_A_NUMBER
  next++
#endif
}

inline Commit() {
  d_step { lost = next >= CAPACITY && (needs(0) || needs(1)); assert(!lost) }
  store(stamp(next), kNoSlot);
#ifdef MUTANT_STAMP_BEFORE_PAYLOAD
  atomic { store_release(stamp(next), next + 1); committed++ };
#endif
  store_release(payload(next, 0), next + 1);
  store_release(payload(next, 1), next + 1);
#ifdef MUTANT_STAMP_IS_RELAXED
  atomic { store(stamp(next), next + 1); committed++ };
#elif !defined(MUTANT_STAMP_BEFORE_PAYLOAD)
  atomic { store_release(stamp(next), next + 1); committed++ };
#endif
  next++
}

active proctype producer() {
  byte me = PRODUCER;
  byte next, limit;
  bool aborted;
  {
    do
    :: next < SLOTS ->
       Acquire();
       if
       :: !aborted -> Abort()
       :: true -> Commit()
       fi
    :: else -> break
    od;
    store_release(closed_at, next + 1);
    ended[PRODUCER] = true
  } unless { killed[PRODUCER] }
}

// --- A consumer.

#define is_there (memory[stamp(expected)] == expected + 1)
#define is_drained (memory[closed_at] != 0 && expected + 1 >= memory[closed_at])

inline Release() {
  d_step { expected++; finished[c] = expected };
  store_release(cursor(c), expected)
}

inline ReadInPlace(slot) {
  load(payload(slot, 0), first);
  d_step { torn = first != slot + 1 || memory[payload(slot, 1)] != slot + 1 || memory[stamp(slot)] != slot + 1; first = 0 };
  assert(!torn)
}

proctype consumer(byte me; byte c) {
  byte expected, first;
  {
    do
    :: is_there ->
#ifdef MUTANT_CURSOR_BEFORE_READ
       Release();
       ReadInPlace(expected - 1)
#else
       ReadInPlace(expected);
       Release()
#endif
    :: is_drained -> break
#ifndef MUTANT_DEAD_PRODUCER_UNNOTICED
    :: !lives(PRODUCER) ->
#ifdef MUTANT_NO_LOOK_AFTER_DEATH
       break
#else
       // It may have committed between the last look at the ring and its end.
       if :: is_there :: else -> break fi
#endif
#endif
    od;
    unread = expected != committed;
    assert(!unread);
    ended[me] = true
  } unless { atomic { killed[me] -> expected = 0; first = 0 } }
}

active proctype killer() {
end:
  do
  :: kill(PRODUCER)
  :: kill(CONSUMER(0))
  :: kill_second(CONSUMER(1), CONSUMER(0))
  od
}

init {
  atomic {
    run consumer(CONSUMER(0), 0);
    run consumer(CONSUMER(1), 1);
    run store_buffer(PRODUCER);
    run store_buffer(CONSUMER(0));
    run store_buffer(CONSUMER(1))
  }
}
