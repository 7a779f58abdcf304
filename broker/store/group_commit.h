// Makes changes durable in groups: who waits for a change commits everything that is pending by then, for all of them.
//
//   under the registry's lock          outside of it
//   1. change the registry             3. Wait(ticket): nobody commits? then commit all that is pending;
//   2. ticket = Add(changes, events)      else sleep, and look again
//
// Pending changes are merged by key. Events reach `on_durable` in the order in which they were added, and only when
// their changes are durable. Nobody's commit waits for it: whoever committed first hands on what others commit meanwhile.
//
// When a commit fails the store is read-only: whoever waits is refused, changes stay pending, and a thread tries again
// until they are written; then the store is writable again. While it is read-only, events are passed on although
// they are not durable: a channel that closes must be told of even if the disk is full. Who hears of a change that a
// crash then takes back lists again, since no revision is ever used twice.
//
// With no store at all, everything counts as durable at once.
//
// Thread safety: thread-safe.
// Time:          Add never waits for the store; Wait does.
#ifndef PYLABHUB_BROKER_STORE_GROUP_COMMIT_H_
#define PYLABHUB_BROKER_STORE_GROUP_COMMIT_H_

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "broker/channel_types.h"
#include "broker/log_hook.h"
#include "broker/registry_state.h"
#include "broker/store/store.h"

namespace pylabhub::broker {

struct GroupCommitOptions {
  // Null: nothing is kept.
  std::unique_ptr<Store> store = nullptr;
  // Not empty: the store can never be written again, and this says why. Nothing is committed.
  std::string damage = {};
  // What is written for a change. Required if there is a store.
  std::function<Row(const Change&)> encode = nullptr;
  // Called by one thread at a time, soon after the commit. Not under the registry's lock, unless there is no store. May be
  // empty.
  std::function<void(std::vector<Event>)> on_durable = nullptr;
  // Between two tries to write again.
  absl::Duration min_retry_delay = absl::Milliseconds(100);
  absl::Duration max_retry_delay = absl::Seconds(5);
  LogHook log = nullptr;
};

class GroupCommit {
 public:
  // Names everything that was added until it was given.
  using Ticket = uint64_t;

  explicit GroupCommit(GroupCommitOptions options);
  // Tries once more to write what is pending.
  ~GroupCommit();

  GroupCommit(const GroupCommit&) = delete;
  GroupCommit& operator=(const GroupCommit&) = delete;

  // Takes changes over, to be made durable by the next Wait or CommitSoon.
  Ticket Add(std::vector<Change> changes, std::vector<Event> events);

  // The last ticket that Add gave.
  Ticket last() const;

  // Waits until everything that the ticket names is durable.
  //
  // Errors:
  //   STORE_READ_ONLY  it is not, yet; it may become so later
  absl::Status Wait(Ticket ticket);

  // Has everything pending made durable by a thread of its own: for changes that nobody waits for.
  void CommitSoon();

  // Whether a change can be made durable now, as far as is known.
  //
  // Errors:
  //   STORE_READ_ONLY
  absl::Status CheckWritable() const;

  // For metrics, since the start.
  struct Counts {
    uint64_t commits = 0;
    uint64_t failed_commits = 0;
    uint64_t rows = 0;
    size_t pending_changes = 0;
    bool read_only = false;
  };
  Counts counts() const;

 private:
  using Lock = std::unique_lock<std::mutex>;
  using SteadyTime = std::chrono::steady_clock::time_point;

  struct Batch {
    std::map<std::string, Change> changes = {};
    std::vector<Event> events = {};
    Ticket last = 0;
  };

  // All below with the lock, which is given up while the store works.
  void CommitPending(Lock& lock);
  // Hands on what is to be announced, unless somebody does.
  void Announce(Lock& lock);
  void Succeeded(const Batch& batch);
  void Failed(Batch batch, const absl::Status& status);
  absl::Status RefuseReadOnly() const;
  void RunBackground();
  bool IsTimeToRetry() const;

  const GroupCommitOptions options_;

  // Not absl::Mutex: Debian's is not built for ThreadSanitizer, which then sees races where there are none.
  mutable std::mutex mutex_;
  // A commit has ended, odd and even ones: who waits for the next one sleeps on, but for one who begins it.
  std::condition_variable committed_[2];
  std::condition_variable background_;  // something to do for the thread
  // All below under mutex_.
  Batch pending_;
  Ticket durable_ = 0;  // everything up to here is
  Ticket failed_ = 0;   // everything up to here was tried
  // Somebody commits: nobody else may.
  bool busy_ = false;
  // The commit that was begun last, counted from 1, and what it makes durable.
  uint64_t commit_number_ = 0;
  Ticket committing_ = 0;
  // Events to hand on, and whether somebody does.
  std::vector<Event> announced_next_;
  bool announcing_ = false;
  bool commit_soon_ = false;
  bool read_only_ = false;
  std::string read_only_reason_;
  absl::Duration retry_delay_;
  SteadyTime retry_time_ = {};
  Counts counts_;
  bool stopped_ = false;

  std::thread thread_;
};

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_STORE_GROUP_COMMIT_H_
