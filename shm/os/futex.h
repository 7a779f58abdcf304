// Sleeping in the kernel until a shared word changes. std::atomic::wait would do, but is private to a
// process.
//
// Thread safety: thread-safe.
#ifndef PYLABHUB_SHM_OS_FUTEX_H_
#define PYLABHUB_SHM_OS_FUTEX_H_

#include <cstdint>

#include "absl/time/time.h"

namespace pylabhub::shm {

// Sleeps until a FutexWake on `word`, at most `timeout`; not at all if *word is not `expected`. May return
// early. A read-only mapping of the word is enough.
void FutexWait(const uint32_t* word, uint32_t expected, absl::Duration timeout);

// Wakes everybody who sleeps on `word`; the number of those who did.
int FutexWakeAll(const uint32_t* word);

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_OS_FUTEX_H_
