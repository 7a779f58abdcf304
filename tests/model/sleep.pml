// Going to sleep (shm/ring/ring_reader.h, ring_writer.h, shm/data_block_producer.cc): edge W, both ways. A consumer sleeps
// for the next commit, or for the end; a lossless producer sleeps for the consumer that holds it up. Who is taken to be awake
// is not looked at with a fence; therefore the first sleep of one that was awake is short.
//
// Never: anybody asleep for ever. A sleep that is not the first ends here by a wake alone, although in truth each slice of
// it ends after 10 ms: a lost wake costs so much time, and is found here as a deadlock.
//
// Assumed, since it is a matter of time: what was stored when a first sleep began has left its buffer when it is over.
//
// everyday: -DCAPACITY=2 -DSLOTS=4 -DLOSSLESS=1 -DLATEST=0
// everyday: -DCAPACITY=1 -DSLOTS=4 -DLOSSLESS=0 -DLATEST=0
// everyday: -DCAPACITY=2 -DSLOTS=4 -DLOSSLESS=0 -DLATEST=0
// everyday: -DCAPACITY=1 -DSLOTS=4 -DLOSSLESS=0 -DLATEST=1
// everyday: -DCAPACITY=2 -DSLOTS=4 -DLOSSLESS=0 -DLATEST=1
// soak: -DCAPACITY=2 -DSLOTS=6 -DLOSSLESS=1 -DLATEST=0 -DDEPTH=3
// soak: -DCAPACITY=2 -DSLOTS=6 -DLOSSLESS=0 -DLATEST=0 -DDEPTH=3
// soak: -DCAPACITY=3 -DSLOTS=6 -DLOSSLESS=0 -DLATEST=0 -DDEPTH=3
// soak: -DCAPACITY=2 -DSLOTS=6 -DLOSSLESS=0 -DLATEST=1 -DDEPTH=3
//
// MUTANT_NO_FENCE_IN_COMMIT             deadlock
// MUTANT_NO_FENCE_IN_BEGIN_SLEEP        deadlock
// MUTANT_NO_FENCE_IN_RELEASE            deadlock
// MUTANT_NO_FENCE_IN_SLEEPING_PRODUCER  deadlock
// MUTANT_FIRST_SLEEP_IS_LONG            deadlock
// MUTANT_SEEN_AFTER_LOOK                deadlock
// MUTANT_WAKES_FIRST_OF_BATCH           deadlock
// MUTANT_FUTILE_WAKE_IS_NOTED           deadlock -DCAPACITY=1 -DSLOTS=4 -DLOSSLESS=0 -DLATEST=0
// MUTANT_SLEEP_SAYS_OLD_CURSOR          deadlock -DCAPACITY=1 -DSLOTS=4 -DLOSSLESS=0 -DLATEST=0
// MUTANT_SLEEPS_ON_OLD_CELL             deadlock -DCAPACITY=2 -DSLOTS=4 -DLOSSLESS=0 -DLATEST=0
// MUTANT_NO_FENCE_IN_CLOSE              deadlock
// MUTANT_CLOSE_WAKES_ONCE               deadlock
// MUTANT_LATEST_GOES_BY_HEAD            deadlock -DCAPACITY=2 -DSLOTS=4 -DLOSSLESS=0 -DLATEST=1

#ifndef DEPTH
#define DEPTH 2
#endif
#define PRODUCER 0
#define CONSUMER 1
#define PROCESSES 2

#define stamp(s) ((s) % CAPACITY)
#define head CAPACITY
#define cursor (CAPACITY + 1)
#define wait_state (CAPACITY + 2)
#define may_sleep (CAPACITY + 3)
#define waiting_place (CAPACITY + 4)
#define waiting_cursor (CAPACITY + 5)
#define closed (CAPACITY + 6)
#define WORDS (CAPACITY + 7)
#include "memory.pml"

#define kNoSlot 0
#define kAwake 0
#define kMaySleep 1
#define kSleeping 2
#define kNever 255

// --- Futexes. The kernel compares and sleeps in one step. Whatever fences it has are not counted on.

byte sleeps_on[PROCESSES];  // 1 + the word; 0: awake

inline FutexWait(the_word, value, is_first) {
  atomic {
    if
    :: memory[the_word] == value -> sleeps_on[me] = the_word + 1
    :: else
    fi
  };
  if
  :: !is_first -> sleeps_on[me] == 0
#ifndef MUTANT_FIRST_SLEEP_IS_LONG
  :: is_first -> sleeps_on[me] = 0
#else
  :: is_first -> sleeps_on[me] == 0
#endif
  fi
}

inline FutexWakeAll(process, the_word) {
  d_step {
    woken = sleeps_on[process] == the_word + 1;
    if :: woken -> sleeps_on[process] = 0 :: else fi
  }
}

// What is assumed of time.
inline PassFirstSleep() { !first || drained(1 - me) }

// --- The producer.

inline SleepForConsumer() {
  d_step { first = !told_to_wake; told_to_wake = true };
  store(waiting_cursor, next + 1 - CAPACITY);
  store(waiting_place, 1);
  store(may_sleep, 1);
#ifndef MUTANT_NO_FENCE_IN_SLEEPING_PRODUCER
  full_fence();
#endif
  load(cursor, value);
  if
  :: value < next + 1 - CAPACITY -> FutexWait(cursor, value, first)
  :: else
  fi;
  store(waiting_place, 0);
  PassFirstSleep();
  d_step { value = 0; first = false }
}

inline WakeSleepers() {
  load(wait_state, value);
  if
  :: value != kAwake ->
#ifndef MUTANT_NO_FENCE_IN_COMMIT
     full_fence();
#endif
     load(wait_state, value);
     if
     :: value == kSleeping ->
        // The word that this consumer sleeps on; one that sleeps for what is to come needs nothing.
        load(cursor, value);
        if
        :: value < next && value != woken_cursor ->
#ifdef MUTANT_WAKES_FIRST_OF_BATCH
           FutexWakeAll(CONSUMER, stamp(batch_begin));
#else
           FutexWakeAll(CONSUMER, stamp(value));
#endif
           // Who was woken looks again by itself. Who was not is about to sleep, and may need another wake.
#ifdef MUTANT_FUTILE_WAKE_IS_NOTED
           woken_cursor = value
#else
           if :: woken -> woken_cursor = value :: else fi
#endif
        :: else
        fi
     :: else
     fi
  :: else
  fi;
  d_step { value = 0; woken = false }
}

// The end changes no stamp: who has said that it sleeps is woken until it was there.
inline Close() {
  store_release(closed, 1);
#ifndef MUTANT_NO_FENCE_IN_CLOSE
  full_fence();
#endif
  do
  :: load(wait_state, value);
     if
     :: value != kSleeping -> break
     :: else ->
        load(cursor, value);
        if
        :: value != next -> break
        :: else ->
           FutexWakeAll(CONSUMER, stamp(next));
#ifdef MUTANT_CLOSE_WAKES_ONCE
           break
#else
           if :: woken -> break :: else fi
#endif
        fi
     fi
  od
}

#if LOSSLESS
#define is_free (memory[cursor] + CAPACITY > next)
#else
#define is_free true
#endif

proctype producer(byte me) {
  byte next, value, woken_cursor = kNever;
  bool told_to_wake, woken, first;
#ifdef MUTANT_WAKES_FIRST_OF_BATCH
  byte batch_begin;
#endif
  do
  :: next < SLOTS ->
#if LOSSLESS
     do
     :: is_free -> break
     :: !is_free -> SleepForConsumer()
     od;
     // NoteSlotWithoutSleep.
     if
     :: told_to_wake -> told_to_wake = false; store(may_sleep, 0)
     :: true
     fi;
#endif
#ifdef MUTANT_WAKES_FIRST_OF_BATCH
     batch_begin = next;
#endif
     // A batch of one slot or more.
     do
     :: next < SLOTS && is_free ->
        store(stamp(next), kNoSlot);
        store_release(stamp(next), next + 1);
        next++;
        if
        :: true -> break
        :: true
        fi
     :: next == SLOTS || !is_free -> break
     od;
     store_release(head, next);
     WakeSleepers()
  :: else -> break
  od;
  Close()
}

// --- The consumer. `expected` moves on when a slot is taken, and the cursor when it is given back.

inline PublishCursor() {
  store_release(cursor, expected);
  load(may_sleep, value);
  if
  :: value != 0 ->
#ifndef MUTANT_NO_FENCE_IN_RELEASE
     full_fence();
#endif
     load(waiting_place, value);
     if
     :: value == 1 ->
        load(waiting_cursor, value);
        if :: expected >= value -> FutexWakeAll(PRODUCER, cursor) :: else fi
     :: else
     fi
  :: else
  fi;
  d_step { value = 0; woken = false }
}

#define is_there(s) (memory[stamp(s)] == (s) + 1)
// kNext: the slot was overwritten, or is being. kLatest: there is a newer one.
#if LOSSLESS
#define must_move false
#elif LATEST && defined(MUTANT_LATEST_GOES_BY_HEAD)
#define must_move (memory[head] > expected)
#elif LATEST
#define must_move (memory[head] > expected || memory[stamp(expected)] > expected + 1)
#else
#define must_move (memory[stamp(expected)] > expected + 1 || \
  (memory[stamp(expected)] == kNoSlot && memory[head] > expected))
#endif

// SkipLap. kLatest: goes to the newest slot that it knows of; to the one after it if that is being overwritten.
inline Move() {
  d_step {
#if LATEST
    if
    :: memory[head] >= memory[stamp(expected)] -> expected = memory[head] - 1
    :: else -> expected = memory[stamp(expected)] - 1
    fi;
    if :: is_there(expected) :: else -> expected++ fi
#else
    expected++;
    if
    :: memory[head] > CAPACITY && memory[head] - CAPACITY > expected -> expected = memory[head] - CAPACITY
    :: else
    fi
#endif
  }
}

inline Sleep() {
#ifdef MUTANT_SLEEPS_ON_OLD_CELL
  old = expected;
#endif
#ifndef MUTANT_SEEN_AFTER_LOOK
  load(stamp(expected), value);
#endif
  d_step { first = !told_to_wake; told_to_wake = true };
#ifndef MUTANT_SLEEP_SAYS_OLD_CURSOR
  store_release(cursor, expected);
#endif
  store_release(wait_state, kSleeping);
#ifndef MUTANT_NO_FENCE_IN_BEGIN_SLEEP
  full_fence();
#endif
  if
#ifdef MUTANT_SLEEPS_ON_OLD_CELL
  :: !is_there(expected) && must_move ->
     Move();
     if
     :: !is_there(expected) && !must_move && !memory[closed] -> FutexWait(stamp(old), value, first)
     :: else
     fi
#endif
#ifdef MUTANT_SEEN_AFTER_LOOK
  :: !is_there(expected) && !must_move && !memory[closed] ->
     load(stamp(expected), value);
     FutexWait(stamp(expected), value, first)
#else
  :: !is_there(expected) && !must_move && !memory[closed] -> FutexWait(stamp(expected), value, first)
#endif
  :: else
  fi;
  store(wait_state, kMaySleep);
  PassFirstSleep();
  d_step { value = 0; first = false }
}

proctype consumer(byte me) {
  byte expected, value;
  bool told_to_wake, woken, first;
#ifdef MUTANT_SLEEPS_ON_OLD_CELL
  byte old;
#endif
  do
  // All was read before the end came, or it is all gone.
  :: expected == SLOTS && memory[closed] -> break
  :: is_there(expected) ->
     expected++;
     // After many slots without a sleep.
     if
     :: told_to_wake -> told_to_wake = false; store(wait_state, kAwake)
     :: true
     fi;
     PublishCursor()
  :: !is_there(expected) && must_move -> Move()
  :: !is_there(expected) && !must_move && !memory[closed] -> Sleep()
  od
}

init {
  atomic {
    run producer(PRODUCER);
    run consumer(CONSUMER);
    run store_buffer(PRODUCER);
    run store_buffer(CONSUMER)
  }
}
