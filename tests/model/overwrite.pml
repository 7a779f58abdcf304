// The overwriting ring with small payloads (shm/ring/ring_writer.h, ring_reader.h): edge T. The writer never waits; a
// consumer copies the payload out, and looks at the stamp again. It reads slot by slot, or (LATEST) the newest. It stores
// nothing that another waits for, so one is as good as many.
//
// Never: a slot that is torn, out of order, or given twice; one that is passed over before it is overwritten, or not counted
// as missed; one that is left unread. The writer may be killed at any step.
//
// everyday: -DCAPACITY=1 -DSLOTS=4 -DCRASHES=1 -DLATEST=0
// everyday: -DCAPACITY=2 -DSLOTS=5 -DCRASHES=1 -DLATEST=0
// everyday: -DCAPACITY=1 -DSLOTS=4 -DCRASHES=1 -DLATEST=1
// everyday: -DCAPACITY=2 -DSLOTS=5 -DCRASHES=1 -DLATEST=1
// soak: -DCAPACITY=3 -DSLOTS=9 -DCRASHES=1 -DLATEST=0 -DDEPTH=3
// soak: -DCAPACITY=2 -DSLOTS=9 -DCRASHES=1 -DLATEST=1 -DDEPTH=3
//
// MUTANT_STAMP_IS_NOT_WITHDRAWN      torn
// MUTANT_PAYLOAD_IS_RELAXED          torn
// MUTANT_STAMP_BEFORE_PAYLOAD        torn
// MUTANT_STAMP_IS_RELAXED            torn
// MUTANT_HEAD_IS_RELAXED             passed_over -DCAPACITY=2 -DSLOTS=5 -DCRASHES=1 -DLATEST=0
// MUTANT_NO_SECOND_LOOK              torn
// MUTANT_LAPPED_BY_STAMP_ALONE       unread
// MUTANT_MISSED_IS_ONE_SHORT         miscounted
// MUTANT_NO_LOOK_AFTER_DEATH         unread

#ifndef DEPTH
#define DEPTH 2
#endif
#define PRODUCER 0
#define PROCESSES 1  // what consumers store here, nobody waits for

#define stamp(s) ((s) % CAPACITY)
#define payload(s, half) (CAPACITY + 2 * ((s) % CAPACITY) + (half))
#define head (3 * CAPACITY)
#define WORDS (3 * CAPACITY + 1)
#include "memory.pml"
#include "crash.pml"

#define kNoSlot 0

byte begun;      // slots whose cell the producer has begun to change
byte committed;  // slots whose stamp it has stored
bool torn, unread, passed_over, miscounted;

// --- The producer.

inline Commit() {
#ifndef MUTANT_STAMP_IS_NOT_WITHDRAWN
  atomic { store(stamp(next), kNoSlot); begun++ };
#else
  begun++;
#endif
#ifdef MUTANT_STAMP_BEFORE_PAYLOAD
  store_release(stamp(next), next + 1);
#endif
#ifdef MUTANT_PAYLOAD_IS_RELAXED
  store(payload(next, 0), next + 1);
  store(payload(next, 1), next + 1);
#else
  store_release(payload(next, 0), next + 1);
  store_release(payload(next, 1), next + 1);
#endif
#ifdef MUTANT_STAMP_IS_RELAXED
  atomic { store(stamp(next), next + 1); committed++ };
#elif defined(MUTANT_STAMP_BEFORE_PAYLOAD)
  committed++;
#else
  atomic { store_release(stamp(next), next + 1); committed++ };
#endif
  next++;
#ifdef MUTANT_HEAD_IS_RELAXED
  store(head, next)
#else
  store_release(head, next)
#endif
}

active proctype producer() {
  byte me = PRODUCER;
  byte next;
  {
    do
    :: next < SLOTS -> Commit()
    :: else -> break
    od;
    ended[PRODUCER] = true
  } unless { killed[PRODUCER] }
}

#define producer_gone (drained(PRODUCER) && (ended[PRODUCER] || killed[PRODUCER]))

// --- What the consumers share.

#define stamp_now memory[stamp(expected)]
#define is_there (stamp_now == expected + 1)

// Take: copies both halves, and looks again.
inline Copy(s) {
  first = memory[payload(s, 0)];
  second = memory[payload(s, 1)];
#ifdef MUTANT_NO_SECOND_LOOK
  taken = true;
#else
  taken = memory[stamp(s)] == s + 1;
#endif
  torn = taken && (first != s + 1 || second != s + 1);
  assert(!torn);
  d_step { first = 0; second = 0 }
}

#if !LATEST

// --- A consumer that reads slot by slot.

// IsBehind: committed, and not there.
#ifdef MUTANT_LAPPED_BY_STAMP_ALONE
#define was_lapped (stamp_now > expected + 1)
#else
#define was_lapped (stamp_now > expected + 1 || (stamp_now == kNoSlot && memory[head] > expected))
#endif

inline SkipLap() {
  newest = memory[head];
  next = expected + 1;
  if
  :: newest >= expected + CAPACITY && newest - CAPACITY > next -> next = newest - CAPACITY
  :: else
  fi;
  do
  :: next < newest && memory[stamp(next)] == kNoSlot -> next++
  :: else -> break
  od;
  passed_over = next - 1 + CAPACITY >= begun;
  assert(!passed_over);
#ifdef MUTANT_MISSED_IS_ONE_SHORT
  d_step { missed = missed + next - expected - 1; expected = next; next = 0; newest = 0 }
#else
  d_step { missed = missed + next - expected; expected = next; next = 0; newest = 0 }
#endif
}

active proctype consumer() {
  byte expected, first, second, newest, next, received, missed;
  bool taken;
  do
  :: is_there ->
     Copy(expected);
     if
     :: taken -> d_step { expected++; received++; taken = false }
     :: else
     fi
  :: !is_there && was_lapped -> SkipLap()
#ifndef MUTANT_NO_LOOK_AFTER_DEATH
  :: !is_there && !was_lapped && producer_gone -> break
#else
  :: producer_gone -> break
#endif
  od;
  miscounted = received + missed != expected;
  assert(!miscounted);
  // What it has not read, it was told of, or is no more.
  unread = expected < committed;
  assert(!unread)
}

#else

// --- A consumer that reads the newest.

active proctype consumer() {
  byte expected, first, second, newest;
  bool taken;
  do
  :: stamp_now > expected || memory[head] > expected ->
     d_step {
       newest = stamp_now;
       if :: newest <= expected || memory[head] > newest -> newest = memory[head] :: else fi
     }
     if
     :: newest <= expected
     :: newest > expected && memory[stamp(newest - 1)] == newest ->
        Copy(newest - 1);
        if :: taken -> expected = newest :: else fi
     // It is being overwritten by the one that is then the newest.
     :: newest > expected && memory[stamp(newest - 1)] == kNoSlot -> expected = newest
     :: else
     fi;
     skip;
     d_step { newest = 0; taken = false }
  :: stamp_now <= expected && memory[head] <= expected && producer_gone -> break
  od;
  unread = CAPACITY > 1 && expected != committed;
  assert(!unread)
}

#endif

active proctype killer() {
end:
  do
  :: kill(PRODUCER)
  od
}

init { run store_buffer(PRODUCER) }
