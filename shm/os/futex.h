// Sleeping in the kernel until a shared word changes. std::atomic::wait would do, but is private to a
// process.
//
// Thread safety: thread-safe.
#ifndef PYLABHUB_SHM_OS_FUTEX_H_
#define PYLABHUB_SHM_OS_FUTEX_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/time/time.h"

namespace pylabhub::shm {

// Sleeps until a FutexWake on `word`, at most `timeout`; not at all if *word is not `expected`: false then. May return
// early. A read-only mapping of the word is enough.
bool FutexWait(const uint32_t* word, uint32_t expected, absl::Duration timeout);

// Wakes everybody who sleeps on `word`; the number of those who did.
int FutexWakeAll(const uint32_t* word);

// A word to sleep on, and what it holds as long as there is no reason to wake up.
struct FutexWord {
  const uint32_t* word = nullptr;
  uint32_t expected = 0;
};
// The most that FutexWaitAny takes.
inline constexpr size_t kMaxFutexWords = 128;

enum class FutexAny : uint8_t {
  kSlept,
  kChanged,  // one of the words was not as expected: nobody slept
  kRefused,  // the kernel or a sandbox lets no thread sleep on more than one word: nobody slept
};

// Sleeps until a FutexWake on any of `words`, at most `timeout`; not at all if one of them is not as expected. May
// return early. One word alone is never refused.
FutexAny FutexWaitAny(std::span<const FutexWord> words, absl::Duration timeout);

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_OS_FUTEX_H_
