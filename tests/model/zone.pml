// The flexible zone (shm/ring/zone.h): two copies, of which the writer changes the one that is not to be
// read. A reader copies, and looks at `begun` again: its copy is whole if the writer has not begun the version after the next.
//
// Never: a copy that is torn, or older than a version that was published before the reader began; anybody who waits. The
// writer may be killed at any step.
//
// everyday: -DVERSIONS=4 -DCRASHES=1
// soak: -DVERSIONS=6 -DCRASHES=1
//
// MUTANT_NOT_BEGUN                torn
// MUTANT_BEGUN_AFTER_WORDS        torn
// MUTANT_WORDS_ARE_RELAXED        torn
// MUTANT_PUBLISHED_BEFORE_WORDS   torn
// MUTANT_PUBLISHED_IS_RELAXED     torn
// MUTANT_NO_SECOND_LOOK           torn
// MUTANT_LATE_BY_ONE              torn
// MUTANT_ONE_COPY                 torn
// MUTANT_READS_OTHER_COPY         torn
// MUTANT_READS_AN_OLD_VERSION     stale

#ifndef DEPTH
#define DEPTH 3
#endif
#define WRITER 0
#define READER 1
#define PROCESSES 1  // the reader stores nothing
#define READS 2

#ifdef MUTANT_ONE_COPY
#define word(version, half) (half)
#else
#define word(version, half) (2 * ((version) % 2) + (half))
#endif
#define begun 4
#define published 5
#define WORDS 6
#include "memory.pml"
#include "crash.pml"

bool torn, stale;

// --- The writer. Version v is in both halves of its copy.

active proctype writer() {
  byte me = WRITER;
  byte version = 1;
  {
    do
    :: version <= VERSIONS ->
#if !defined(MUTANT_NOT_BEGUN) && !defined(MUTANT_BEGUN_AFTER_WORDS)
       store(begun, version);
#endif
#ifdef MUTANT_PUBLISHED_BEFORE_WORDS
       store_release(published, version);
#endif
#ifdef MUTANT_WORDS_ARE_RELAXED
       store(word(version, 0), version);
       store(word(version, 1), version);
#else
       store_release(word(version, 0), version);
       store_release(word(version, 1), version);
#endif
#ifdef MUTANT_BEGUN_AFTER_WORDS
       store_release(begun, version);
#endif
#ifdef MUTANT_PUBLISHED_IS_RELAXED
       store(published, version);
#elif !defined(MUTANT_PUBLISHED_BEFORE_WORDS)
       store_release(published, version);
#endif
       version++
    :: else -> break
    od
  } unless { killed[WRITER] }
}

// --- A reader, which is stopped after a few reads. It tries again when its copy was overwritten; what it does then is the
// same as reading for the first time.

#ifdef MUTANT_NO_SECOND_LOOK
#define is_whole true
#elif defined(MUTANT_LATE_BY_ONE)
#define is_whole (memory[begun] <= version + 2)
#else
#define is_whole (memory[begun] <= version + 1)
#endif

active proctype reader() {
  byte reads, version, first, second, at_least;
  do
  :: reads < READS && memory[published] != 0 ->
     d_step { at_least = memory[published]; version = memory[published] };
#ifdef MUTANT_READS_AN_OLD_VERSION
     version = version - 1;
#endif
#ifdef MUTANT_READS_OTHER_COPY
     first = memory[word(version + 1, 0)];
     second = memory[word(version + 1, 1)];
#else
     first = memory[word(version, 0)];
     second = memory[word(version, 1)];
#endif
     if
     :: is_whole ->
        torn = first != version || second != version;
        assert(!torn);
        stale = version < at_least;
        assert(!stale)
     :: else
     fi;
     d_step { first = 0; second = 0; version = 0; at_least = 0; reads++ }
  // The writer died before its first version was there.
  :: reads < READS && memory[published] == 0 && !lives(WRITER) -> break
  :: reads == READS -> break
  od
}

active proctype killer() {
end:
  do
  :: kill(WRITER)
  od
}

init { run store_buffer(WRITER) }
