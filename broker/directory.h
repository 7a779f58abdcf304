// The registry at work: one lock, one clock, and a thread that lets leases end when nobody calls.
//
// Time is steady: a clock that an administrator steps, or a laptop that sleeps, ends no lease. When the whole
// process stood still (SIGSTOP, a stalled host), the time that it lost is given back before anybody is
// expired.
//
// With a store, a change is answered when it is durable; who only reads never waits for the store, and sees changes
// that are about to become durable. Events are announced when they are durable.
//
// Thread safety: thread-safe.
#ifndef PYLABHUB_BROKER_DIRECTORY_H_
#define PYLABHUB_BROKER_DIRECTORY_H_

#include <condition_variable>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "broker/channel_registry.h"
#include "broker/event_sink.h"
#include "broker/log_hook.h"
#include "broker/store/group_commit.h"
#include "broker/store/store.h"

namespace pylabhub::broker {

// Where a directory keeps what it knows, and what was kept there before.
struct DirectoryKeep {
  std::unique_ptr<Store> store = nullptr;  // null: nothing is kept
  std::string damage = {};                 // not empty: the store cannot be written any more; why
  RegistryState state = {};
  // With limits above first_epoch and first_revision of the options.
  HistoryRecord history = {};
  // Whether these limits are durable. If not, the directory tries once more, and is read-only until they are.
  bool history_is_kept = true;
  // Records of others, by key: theirs to take.
  std::map<std::string, std::string> opaque = {};
};

class Directory {
 public:
  // `sink` is called by one thread at a time, in the order of revisions, and must not call the directory.
  Directory(const RegistryOptions& options, LogHook log, EventSink sink = nullptr, DirectoryKeep keep = {});
  ~Directory();

  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;

  // For reads: answers what `call(registry, now)` does, alone with the registry, and never waits for the store.
  template <typename Call>
  auto Run(Call call) {
    absl::MutexLock lock(&mutex_);
    auto answer = call(registry_, WakeUp());
    if (HandOver().has_value()) commit_.CommitSoon();
    return answer;
  }

  // For calls that change something: the same, and answers when the change is durable. `call` answers a Status or a
  // StatusOr.
  //
  // Errors: those of `call`, and
  //   STORE_READ_ONLY  nothing was changed; or it was, and is not durable yet
  template <typename Call>
  auto RunDurably(Call call) -> decltype(call(std::declval<ChannelRegistry&>(), absl::Time())) {
    if (absl::Status status = commit_.CheckWritable(); !status.ok()) return status;
    auto [answer, ticket] = CallAndTicket(call);
    if (absl::Status status = commit_.Wait(ticket); !status.ok()) return status;
    return std::move(answer);
  }

  // For heartbeats: waits for what they changed, if they did; with a store that cannot be written they go on.
  template <typename Call>
  auto RunRenewal(Call call) {
    std::optional<Ticket> ticket;
    auto answer = [&] {
      absl::MutexLock lock(&mutex_);
      const absl::Time now = WakeUp();
      // What ends by itself is not the caller's to wait for.
      registry_.Expire(now);
      if (HandOver().has_value()) commit_.CommitSoon();
      auto renewed = call(registry_, now);
      ticket = HandOver();
      return renewed;
    }();
    if (ticket.has_value()) commit_.Wait(*ticket).IgnoreError();
    return answer;
  }

  // Which directory's history the revisions count; empty if nothing is kept.
  const std::string& history_id() const { return history_id_; }

  // Also for others who keep records of their own in the same store.
  GroupCommit& commit() { return commit_; }

  const RegistryOptions& options() const { return options_; }
  // How often clients are asked to send Heartbeat: three in a lease, so that one may get lost.
  absl::Duration heartbeat_interval() const { return options_.heartbeat_interval(); }

 private:
  using Ticket = GroupCommit::Ticket;

  template <typename Call>
  auto CallAndTicket(Call& call) {
    absl::MutexLock lock(&mutex_);
    auto answer = call(registry_, WakeUp());
    // Also if this call changed nothing: what it saw may be another's change.
    const Ticket ticket = HandOver().value_or(commit_.last());
    return std::pair(std::move(answer), ticket);
  }
  // Notices the time, and gives back what the process slept.
  absl::Time WakeUp() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Hands what changed to the store; nothing if nothing did.
  std::optional<Ticket> HandOver() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void LogHeldSessions() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Announce(std::vector<Event> events);
  void ExpireUntilStopped();

  const RegistryOptions options_;
  const LogHook log_;
  const EventSink sink_;
  // How often the thread looks at the clock, so that a longer gap means that the process stood still.
  const absl::Duration tick_;
  const std::string history_id_;
  GroupCommit commit_;

  absl::Mutex mutex_;
  ChannelRegistry registry_ ABSL_GUARDED_BY(mutex_);
  HistoryRecord history_ ABSL_GUARDED_BY(mutex_);
  uint64_t logged_held_count_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Time last_awake_ ABSL_GUARDED_BY(mutex_);
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  std::condition_variable_any stopping_;

  std::thread thread_;
};

// Wall-clock time at the process's first call, and steady from then on: it never steps.
absl::Time SteadyNow();

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_DIRECTORY_H_
