// Waiting with a timeout that no administrator's hand on the clock makes longer.
#ifndef PYLABHUB_BROKER_STEADY_WAIT_H_
#define PYLABHUB_BROKER_STEADY_WAIT_H_

#include <condition_variable>

#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace pylabhub::broker {

// Waits until `is_done()`, or for `timeout`; whether it is done. Whoever changes that notifies `changed`.
//
// absl::Mutex's own waits with a timeout end at a time of day: a clock that is set back by an hour makes them an hour longer.
//
// Thread safety: `mutex` is held by the caller, is given up while waiting, and is held whenever `is_done` is asked.
template <typename Predicate>
bool AwaitSteadily(absl::Mutex& mutex, std::condition_variable_any& changed, absl::Duration timeout,
                   const Predicate& is_done) {
  struct Lockable {
    absl::Mutex& mutex;
    void lock() { mutex.Lock(); }      // NOLINT(readability-identifier-naming): the standard library's
    void unlock() { mutex.Unlock(); }  // NOLINT(readability-identifier-naming)
  } lockable{mutex};
  return changed.wait_for(lockable, absl::ToChronoNanoseconds(timeout), is_done);
}

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_STEADY_WAIT_H_
