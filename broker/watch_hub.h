// Who watches the directory, and what each is still to be told.
//
// The hub is told every event once, in the order of revisions, and keeps the latest. A watcher takes its events
// at its own pace; it is never waited for. One that falls behind gets them coalesced by channel
// (watch_queue.h), and one that falls behind so far that its queue is full is cut off: it learns so with its
// next Take, and comes back from its last revision. Events are shared: however many watch, there is one of each.
//
// A WatchHub does no I/O, takes no lock and reads no clock.
//
// Thread safety: thread-compatible; WatchFeed serialises its calls.
// Time:          Publish takes time for the watchers that match, and for those with wildcards. `now` never
//                decreases from one call to the next.
// Errors:        refusal.h
#ifndef PYLABHUB_BROKER_WATCH_HUB_H_
#define PYLABHUB_BROKER_WATCH_HUB_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "broker/channel_types.h"
#include "broker/event_history.h"
#include "broker/watch_queue.h"

namespace pylabhub::broker {

struct WatchHubOptions {
  // Of the directory when the hub begins: every event after it will be published.
  uint64_t revision = 0;
  // Names the history that revisions belong to.
  std::string history_id = {};
  // What is kept for watchers that come back.
  size_t max_history_events = 65'536;
  size_t max_history_bytes = size_t{64} << 20;
  // What one watcher may have before it, after coalescing. Beyond, it is cut off.
  size_t max_queue_events = 16'384;
  size_t max_queue_bytes = size_t{16} << 20;
  // A watcher with more before it gets its events coalesced.
  size_t coalesce_above_events = 256;
  // A watcher to whom nothing was said for so long gets a bookmark: soon if others' events went by, so that it
  // has little to look through when it comes back; after a longer time in any case.
  absl::Duration bookmark_soon = absl::Seconds(5);
  absl::Duration bookmark_interval = absl::Minutes(1);
};

// Which events a watcher wants.
struct WatchFilter {
  std::vector<std::string> name_patterns = {};       // proto/names; empty: every channel
  std::optional<std::vector<EventKind>> kinds = {};  // nothing: all
  bool include_schema = false;                       // counts towards max_queue_bytes
  std::function<bool(const std::string& name)> may_see =
      {};  // which names the watcher may be told of; empty: any
};

bool MaySee(const WatchFilter& filter, const std::string& name);

// Whether the channel is one that the watcher wants, and may be told of.
bool MatchesName(const WatchFilter& filter, const std::string& name);

using WatcherId = uint64_t;

// Something to tell a watcher.
struct WatchItem {
  SharedEvent event = nullptr;  // null: a bookmark
  bool coalesced = false;
  uint64_t revision = 0;  // the event's; a bookmark's: everything up to it was told
};

class WatchHub {
 public:
  explicit WatchHub(const WatchHubOptions& options)
      : options_(options),
        history_(options.max_history_events, options.max_history_bytes, options.revision) {}

  // Adds a watcher of every event after `after_revision`, those that are kept included. Its first Take gets a
  // bookmark if no event. `directory_revision` is the directory's own now, at least revision().
  //
  // Errors:
  //   REVISION_COMPACTED  events after `after_revision` are gone, or never were
  absl::StatusOr<WatcherId> Add(const WatchFilter& filter, uint64_t after_revision,
                                uint64_t directory_revision, absl::Time now);

  void Remove(WatcherId id);

  // Tells the watchers. Returns those whose last Take had nothing and for whom there is something now, and those
  // who were cut off, in the order of their ids.
  std::vector<WatcherId> Publish(std::vector<Event> events);

  // Notices the time: bookmarks. Returns whom there is something for, as Publish does. To be called about once
  // a second.
  std::vector<WatcherId> Tick(absl::Time now);

  // What comes next for a watcher that was added: at most `max_events` items of at most `max_bytes` together,
  // but at least one if there is any.
  //
  // Errors:
  //   WATCHER_TOO_SLOW  it was cut off; nothing more will come
  absl::StatusOr<std::vector<WatchItem>> Take(WatcherId id, size_t max_events, size_t max_bytes,
                                              absl::Time now);

  // As Take, taking nothing.
  absl::Status CheckPace(WatcherId id) const;

  // Of the last event that was published.
  uint64_t revision() const { return history_.revision(); }
  const std::string& history_id() const { return options_.history_id; }
  size_t size() const { return watchers_.size(); }
  // How many watchers were cut off.
  uint64_t cut_off_count() const { return cut_off_count_; }

  // REVISION_COMPACTED with what it comes with.
  absl::Status RefuseCompacted(const std::string& history_id, uint64_t after_revision,
                               uint64_t directory_revision) const;

 private:
  struct Watcher {
    WatcherId id;
    WatchFilter filter;
    uint32_t kinds;
    WatchQueue queue;
    // Events up to this one are not for it, or were taken.
    uint64_t revision;
    absl::Time last_told;
    // What it had before it when it came, which does not count against it.
    size_t backlog_events = 0;
    size_t backlog_bytes = 0;
    // Its last Take had nothing, and it was not woken since.
    bool is_idle = false;
    bool bookmark_is_due = true;
    // Not 0: it was cut off, with so many events before it.
    uint64_t cut_off_lag = 0;
  };

  void Tell(Watcher& watcher, const SharedEvent& event, std::vector<WatcherId>& ready);
  bool IsTooSlow(const Watcher& watcher) const;
  static void Wake(Watcher& watcher, std::vector<WatcherId>& ready);

  const WatchHubOptions options_;
  EventHistory history_;
  WatcherId last_id_ = 0;
  uint64_t cut_off_count_ = 0;
  // Nodes, so that a Watcher stays where it is.
  std::map<WatcherId, Watcher> watchers_;
  // Those who name channels and use no wildcard, by channel; and all others.
  absl::flat_hash_map<std::string, absl::flat_hash_set<Watcher*>> by_name_;
  absl::flat_hash_set<Watcher*> with_wildcards_;
};

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_WATCH_HUB_H_
