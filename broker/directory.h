// The registry at work: one lock, one clock, and a thread that lets leases end when nobody calls.
//
// Time is steady: a clock that an administrator steps, or a laptop that sleeps, ends no lease. When the whole
// process stood still (SIGSTOP, a stalled host), the time that it lost is given back before anybody is
// expired.
//
// Thread safety: thread-safe.
#ifndef PYLABHUB_BROKER_DIRECTORY_H_
#define PYLABHUB_BROKER_DIRECTORY_H_

#include <memory>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "broker/channel_registry.h"
#include "broker/event_sink.h"
#include "broker/log_hook.h"

namespace pylabhub::broker {

class Directory {
 public:
  // `sink` is called under the directory's lock, so it must not call the directory.
  Directory(const RegistryOptions& options, LogHook log, EventSink sink = nullptr);
  ~Directory();

  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;

  // Answers what `call(registry, now)` does, alone with the registry. Changes are announced to log and
  // sink before it returns.
  template <typename Call>
  auto Run(Call call) {
    // Until the events are announced, so that log and sink have them in the order of their revisions.
    absl::MutexLock lock(&mutex_);
    const absl::Time now = WakeUp();
    auto answer = call(registry_, now);
    Announce(registry_.TakeEvents());
    return answer;
  }

  const RegistryOptions& options() const { return options_; }
  // How often clients are asked to send Heartbeat: three in a lease, so that one may get lost.
  absl::Duration heartbeat_interval() const { return options_.lease_ttl * 3 / 10; }

 private:
  // Notices the time, and gives back what the process slept.
  absl::Time WakeUp() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Announce(std::vector<Event> events) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ExpireUntilStopped();

  const RegistryOptions options_;
  const LogHook log_;
  const EventSink sink_;
  // How often the thread looks at the clock, so that a longer gap means that the process stood still.
  const absl::Duration tick_;

  absl::Mutex mutex_;
  ChannelRegistry registry_ ABSL_GUARDED_BY(mutex_);
  absl::Time last_awake_ ABSL_GUARDED_BY(mutex_);
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;

  std::thread thread_;
};

// Wall-clock time at the process's first call, and steady from then on: it never steps.
absl::Time SteadyNow();

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_DIRECTORY_H_
