// Shared memory as processes really see it, for models that Spin would otherwise run with sequential consistency.
//
// Each process has a store buffer. What it stores waits there, seen by itself alone, and leaves for the memory that all
// see at any later moment. It leaves in any order that C++ allows: stores to one word in their order, and a release store
// after everything that was stored before it. That is weaker than x86, which keeps all stores in order, so that what
// holds here holds there; and a store that is relaxed where it must be a release is found too. Loads are made in
// program order.
//
// Who includes this defines, before: PROCESSES, WORDS, and DEPTH (stores that a buffer holds: 2 or 3; a full one makes
// its process wait). Optionally WORD, the type of a word. In a process, `me` is its number, from 0.
//
// A process that is killed stores nothing more, but what it has stored reaches memory before the kernel drops its locks.

#ifndef WORD
#define WORD byte
#endif

typedef StoreBuffer {
  byte count;
  byte word[DEPTH];
  WORD value[DEPTH];
  bool release[DEPTH]
}

WORD memory[WORDS];
StoreBuffer buffer[PROCESSES];

#define drained(process) (buffer[process].count == 0)

inline put(the_word, the_value, is_release) {
  atomic {
    buffer[me].count < DEPTH ->
    d_step {
      buffer[me].word[buffer[me].count] = the_word;
      buffer[me].value[buffer[me].count] = the_value;
      buffer[me].release[buffer[me].count] = is_release;
      buffer[me].count++
    }
  }
}

// store(std::memory_order_relaxed) and store(std::memory_order_release).
inline store(the_word, the_value) { put(the_word, the_value, false) }
inline store_release(the_word, the_value) { put(the_word, the_value, true) }

// load: the newest of one's own stores, else memory.
#define own(i, the_word) (buffer[me].count > i && buffer[me].word[i] == (the_word))
#if DEPTH == 2
#define seen(the_word) (own(1, the_word) -> buffer[me].value[1] : \
  (own(0, the_word) -> buffer[me].value[0] : memory[the_word]))
#else
#define seen(the_word) (own(2, the_word) -> buffer[me].value[2] : \
  (own(1, the_word) -> buffer[me].value[1] : (own(0, the_word) -> buffer[me].value[0] : memory[the_word])))
#endif
inline load(the_word, result) { result = seen(the_word) }

// FullFence().
inline full_fence() { drained(me) }

// Read-modify-write, sequentially consistent: nothing passes it.
inline fetch_add(the_word, result) {
  atomic { drained(me) -> result = memory[the_word]; memory[the_word] = memory[the_word] + 1 }
}
inline exchange(the_word, the_value) { atomic { drained(me) -> memory[the_word] = the_value } }

// Which store may leave the buffer next.
#define passes(p, i, j) (!buffer[p].release[i] && buffer[p].word[i] != buffer[p].word[j])
#define may_leave_0(p) (buffer[p].count > 0)
#define may_leave_1(p) (buffer[p].count > 1 && passes(p, 1, 0))
#if DEPTH == 2
#define may_leave_2(p) false
#else
#define may_leave_2(p) (buffer[p].count > 2 && passes(p, 2, 0) && passes(p, 2, 1))
#endif

inline leave(p, i) {
  memory[buffer[p].word[i]] = buffer[p].value[i];
  at = i;
  do
  :: at + 1 < buffer[p].count ->
     buffer[p].word[at] = buffer[p].word[at + 1];
     buffer[p].value[at] = buffer[p].value[at + 1];
     buffer[p].release[at] = buffer[p].release[at + 1];
     at++
  :: else -> break
  od;
  buffer[p].word[at] = 0;
  buffer[p].value[at] = 0;
  buffer[p].release[at] = false;
  buffer[p].count = at;
  at = 0
}

proctype store_buffer(byte p) {
  byte at;
end:
  do
  :: d_step { may_leave_0(p) -> leave(p, 0) }
  :: d_step { may_leave_1(p) -> leave(p, 1) }
  :: d_step { may_leave_2(p) -> leave(p, 2) }
  od
}
