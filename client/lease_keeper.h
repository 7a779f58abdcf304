// Keeps the leases of one session: a thread that sends heartbeats and does nothing else, so that no slow call
// can starve it.
//
//   heartbeat thread: waits until a beat is due (or asked for), sends it with a timeout of its own, and
//                     applies the answer
//   `calls`, a queue: registers again what the answer shows to be lost, and looks at consumed channels
//
// After a failed heartbeat the next one follows soon (50 ms at first, then ever later, at most the broker's
// interval).
//
// Thread safety: thread-safe. `on_events` and `log` are called with no lock held, from the heartbeat
//                thread or from `calls`.
// Time:          intervals are the broker's, as its last answer said; a monotonic clock measures them.
// Ownership:     connection and calls must outlive the keeper, and no task of its own may be left in
//                `calls` when it goes.
#ifndef PYLABHUB_CLIENT_LEASE_KEEPER_H_
#define PYLABHUB_CLIENT_LEASE_KEEPER_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/backoff.h"
#include "client/broker_connection.h"
#include "client/broker_types.h"
#include "client/lease_table.h"
#include "client/messenger_event.h"
#include "client/serial_queue.h"
#include "client/warm_directory.h"

namespace pylabhub {

class LeaseKeeper {
 public:
  struct Options {
    std::string session_id;
    LeaseTerms terms;
    absl::Duration call_timeout;  // of a registration that is made again
    // Whether a Watch stream tells of this channel, so that nobody needs to ask for it.
    std::function<bool(const std::string&)> is_watched;
    std::function<void(LeaseTable::Events)> on_events;
    // A channel was registered again, and the broker asks for its memory; called in `calls`.
    std::function<void(const ChannelSpec&, const HandOver&)> on_restored = nullptr;
    // What a heartbeat's answer asks producers to do; called in `calls`.
    std::function<void(const std::vector<HandOverTask>&)> on_hand_over_tasks = nullptr;
    LogHook log;
  };

  LeaseKeeper(BrokerConnection& connection, SerialQueue& calls, Options options);
  LeaseKeeper(const LeaseKeeper&) = delete;
  LeaseKeeper& operator=(const LeaseKeeper&) = delete;
  // Stops. What is held stays with the broker until its lease ends.
  ~LeaseKeeper();

  // Whether the table has an entry for this channel as a producer's.
  bool Keeps(const std::string& channel) const;

  // The number of a heartbeat.
  using Beat = uint64_t;

  // The broker granted it just now: keep it, and send a heartbeat at once. Returns the first one that claims
  // it.
  Beat Hold(const ChannelSpec& channel, const Grant& grant);
  Beat Hold(const ConsumerSpec& consumer, const Grant& grant);

  // See LeaseTable.
  void Supersede(const ChannelSpec& channel);
  std::optional<uint64_t> DropChannel(const std::string& name);
  bool DropConsumer(const ConsumerClaim& consumer);

  // The channels that consumers hold, and what a Watch stream tells of channels: changes, and all of a fresh directory.
  std::vector<std::string> ConsumedChannels() const;
  void See(const WarmDirectory::Changes& changes);
  void Compare(const WarmDirectory& directory);

  // Waits at most `timeout` for the end of that heartbeat, and answers how it, or a later one, ended.
  // kCancelled after Stop.
  absl::Status Await(Beat beat, absl::Duration timeout);

  // How the last heartbeat ended; OK if there was none.
  absl::Status LastHeartbeat() const;

  // What was left of the lease when a heartbeat was answered, counted from when the one before was sent: the broker may have
  // counted from a little later. Infinite before the second.
  struct Slack {
    absl::Duration last = absl::InfiniteDuration();
    absl::Duration least = absl::InfiniteDuration();
  };
  Slack slack() const;

  // From here on nothing is restored, and no further heartbeat begins. Does not wait.
  void RequestStop();

  // Ends the heartbeat thread, cancelling the calls that the connection is making; nothing is restored from
  // now on. Idempotent.
  void Stop();

  // Everything that is kept, held or lost, which the keeper then forgets. For giving it up at the end.
  Claims TakeAll();

 private:
  void Run();
  void SendHeartbeat(std::unique_lock<std::mutex>& lock);
  template <typename Spec>
  Beat HoldAny(const Spec& spec, const Grant& grant);
  void PostRestorations(std::unique_lock<std::mutex>& lock);
  void Restore(const LeaseTable::Restoration& restoration);
  void LookAtConsumedChannels();
  void PostTasks(std::vector<HandOverTask> tasks);
  bool stopping() const { return stopping_.load(std::memory_order_relaxed); }
  void Tell(LeaseTable::Events events);
  void Learn(const LeaseTerms& terms);

  BrokerConnection& connection_;
  SerialQueue& calls_;
  const Options options_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  // Set under mutex_, so that a wait does not miss it. Relaxed reads elsewhere: seeing it late costs one more
  // call.
  std::atomic<bool> stopping_ = false;
  // All below are guarded by mutex_.
  LeaseTable table_;
  LeaseTerms terms_;
  absl::Time next_beat_time_ = absl::InfiniteFuture();
  Backoff retry_;
  Beat last_begun_ = 0;
  Beat last_ended_ = 0;
  absl::Status last_beat_;
  absl::Time lease_end_time_ =
      absl::InfiniteFuture();  // at the earliest, from the last heartbeat that was answered
  Slack slack_;
  bool looking_ = false;      // a look at the consumed channels is waiting in calls_
  bool doing_tasks_ = false;  // what an answer asked for is waiting in calls_
  bool run_ended_ = false;

  std::thread thread_;  // last: it uses the others
};

}  // namespace pylabhub

#endif  // PYLABHUB_CLIENT_LEASE_KEEPER_H_
