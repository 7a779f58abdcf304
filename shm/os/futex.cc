#include "shm/os/futex.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <ctime>

namespace pylabhub::shm {
namespace {

static_assert(kMaxFutexWords == FUTEX_WAITV_MAX);

// futex_waitv wants a point in time.
timespec MonotonicTimeAfter(absl::Duration timeout) {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return absl::ToTimespec(absl::DurationFromTimespec(now) + std::max(timeout, absl::ZeroDuration()));
}

// Containers' default seccomp profiles answer ENOSYS or EPERM to what they do not know; so do kernels before 5.16.
bool IsRefusal(int error) { return error == ENOSYS || error == EPERM; }

}  // namespace

bool FutexWait(const uint32_t* word, uint32_t expected, absl::Duration timeout) {
  const timespec relative = absl::ToTimespec(std::max(timeout, absl::ZeroDuration()));
  return syscall(SYS_futex, word, FUTEX_WAIT, expected, &relative, nullptr, 0) == 0 || errno != EAGAIN;
}

int FutexWakeAll(const uint32_t* word) {
  const long woken = syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
  return woken > 0 ? static_cast<int>(woken) : 0;
}

FutexAny FutexWaitAny(std::span<const FutexWord> words, absl::Duration timeout) {
  if (words.size() == 1) {
    return FutexWait(words[0].word, words[0].expected, timeout) ? FutexAny::kSlept : FutexAny::kChanged;
  }
  std::array<futex_waitv, kMaxFutexWords> waiters;
  for (size_t i = 0; i < words.size(); ++i) {
    waiters[i] = {.val = words[i].expected,
                  .uaddr = reinterpret_cast<uintptr_t>(words[i].word),
                  .flags = FUTEX_32,
                  .__reserved = 0};
  }
  const timespec deadline = MonotonicTimeAfter(timeout);
  const long result =
      syscall(SYS_futex_waitv, waiters.data(), words.size(), 0, &deadline, clockid_t{CLOCK_MONOTONIC});
  if (result >= 0) return FutexAny::kSlept;
  if (errno == EAGAIN) return FutexAny::kChanged;
  return IsRefusal(errno) ? FutexAny::kRefused : FutexAny::kSlept;
}

}  // namespace pylabhub::shm
