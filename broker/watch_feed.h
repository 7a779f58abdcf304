// The hub at work: one lock, and a way from whoever changes the directory to the threads that serve streams.
//
// Publish only puts events into an inbox and wakes one server, unless one was woken that has not looked yet; the server
// that wakes brings them to the watchers, learns which of its own have something to read, and wakes the other servers if
// theirs have. So a change costs its maker the same however many watch. While nobody watches nobody is woken: the events
// wait in the inbox for a server's tick, or for the first watcher.
//
//   directory --Publish--> inbox --Collect (any server)--> queues --Take--> streams
//
// Thread safety: thread-safe.
#ifndef PYLABHUB_BROKER_WATCH_FEED_H_
#define PYLABHUB_BROKER_WATCH_FEED_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "broker/channel_types.h"
#include "broker/limits.h"
#include "broker/watch_hub.h"

namespace pylabhub::broker {

class WatchFeed {
 public:
  WatchFeed(const WatchHubOptions& options, const Limits& limits)
      : max_watchers_(limits.max_watchers),
        max_watchers_per_identity_(limits.max_watchers_per_identity),
        hub_(options) {}

  WatchFeed(const WatchFeed&) = delete;
  WatchFeed& operator=(const WatchFeed&) = delete;

  // Those who serve streams, by their number from 0; `wake` makes a server call Collect soon, and must not call
  // the feed. To be called once, before there is a watcher.
  void SetServers(std::vector<std::function<void()>> wake);

  // From now on nobody is woken. When it returns, no `wake` is being called.
  void ForgetServers() { SetServers({}); }

  // An EventSink.
  void Publish(std::vector<Event> events);

  // Brings what was published to its watchers, and bookmarks if `now` is about a second later than the last
  // time. Returns which of `server`'s watchers have something to read that had nothing before, or were cut off.
  std::vector<WatcherId> Collect(size_t server, absl::Time now);

  // Adds a watcher for `identity`, served by `server`. The rest as WatchHub::Add.
  //
  // Errors: those of WatchHub::Add, and
  //   LIMIT_EXCEEDED  limits.max_watchers, limits.max_watchers_per_identity
  absl::StatusOr<WatcherId> Add(const std::string& identity, size_t server, const WatchFilter& filter,
                                uint64_t after_revision, uint64_t directory_revision, absl::Time now);

  void Remove(WatcherId id);

  // As WatchHub::Take.
  absl::StatusOr<std::vector<WatchItem>> Take(WatcherId id, size_t max_events, size_t max_bytes,
                                              absl::Time now);

  // As WatchHub::CheckPace.
  absl::Status CheckPace(WatcherId id) const;

  // REVISION_COMPACTED unless `stated_history_id` is `history_id`, or empty.
  absl::Status CheckHistory(const std::string& stated_history_id, const std::string& history_id,
                            uint64_t after_revision, uint64_t directory_revision) const;

  const std::string& history_id() const { return hub_.history_id(); }
  size_t watcher_count() const;
  // How many watchers were cut off, since they did not read in time.
  uint64_t cut_off_count() const;

 private:
  struct Place {
    std::string identity;
    size_t server;
  };

  // Brings what was published to the hub.
  std::vector<WatcherId> EmptyInbox();
  // Hands `ready` to those who serve them, and wakes them but for `server`, which is awake. Both locks' order: mutex_,
  // then inbox_mutex_.
  void HandOut(const std::vector<WatcherId>& ready, size_t server);

  const uint64_t max_watchers_;
  const uint64_t max_watchers_per_identity_;

  // Not absl::Mutex: Debian's is not built for ThreadSanitizer, which then sees races where there are none.
  mutable std::mutex mutex_;
  WatchHub hub_;  // all under mutex_
  absl::flat_hash_map<WatcherId, Place> places_;
  absl::flat_hash_map<std::string, uint64_t> watchers_of_identity_;
  std::vector<std::vector<WatcherId>> ready_of_server_;
  absl::Time last_tick_ = absl::InfinitePast();

  std::mutex inbox_mutex_;
  // All below under inbox_mutex_.
  std::vector<Event> inbox_;
  std::vector<std::function<void()>> wake_;
  bool has_watchers_ = false;
  // A server was woken for what is in the inbox, and has not emptied it yet.
  bool was_woken_ = false;
};

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_WATCH_FEED_H_
