// `ring`: a bare ring for one writer and one reader, with no name, no liveness, no counters and no hints to the cache. It
// is the mark for what pylabhub's features cost.
//
// A slot is a line with the message's sequence, and the payload right after it.
//
//   writer                                    reader
//   1. load read_count (acquire)  <--- B ---  3. store read_count (release)
//   2. write payload                          2. read payload
//   3. store sequence (release)   --- A --->  1. load sequence (acquire)
//
// A: a reader that sees sequence s + 1 in slot s sees message s.
// B: a writer that sees read_count c may overwrite every message below c. It looks only when the ring seems
// full.
//
// A reader that sleeps says so first (edge C, a store and a load on either side, so both need a full fence);
// a writer makes no system call when nobody sleeps. A writer always spins.
#pragma once

#include "tests/bench/subject.h"

namespace pylabhub::bench {

Subject RingSubject();

}  // namespace pylabhub::bench
