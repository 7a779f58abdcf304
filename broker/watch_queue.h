// What one watcher has still to read. While it keeps up, every event is there; when it falls behind, an event
// takes the place of the one before of the same channel, since each tells the channel's whole state. A closing
// and a removal are never merged away: between a channel's closings at most one other event of it waits.
//
// Thread safety: thread-compatible.
#ifndef PYLABHUB_BROKER_WATCH_QUEUE_H_
#define PYLABHUB_BROKER_WATCH_QUEUE_H_

#include <cstddef>
#include <cstdint>
#include <list>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "broker/event_history.h"

namespace pylabhub::broker {

class WatchQueue {
 public:
  struct Entry {
    SharedEvent event = nullptr;
    // Events of this channel before this one were merged into it.
    bool coalesced = false;
  };

  // The watcher is behind when more than `coalesce_above_events` wait. `include_schema`: whether it gets them.
  WatchQueue(size_t coalesce_above_events, bool include_schema)
      : coalesce_above_events_(coalesce_above_events), include_schema_(include_schema) {}

  // Of a greater revision than every event before.
  void Push(SharedEvent event);

  // The oldest. The queue is not empty.
  const Entry& front() const { return entries_.front(); }
  Entry Pop();

  void Clear();

  bool empty() const { return entries_.empty(); }
  size_t size() const { return entries_.size(); }
  size_t bytes() const { return bytes_; }
  // Events that were pushed after the last one popped, merged ones included.
  uint64_t lag_events() const { return lag_events_; }
  // Of the event on the wire.
  size_t BytesOf(const SizedEvent& event) const {
    return event.bytes + (include_schema_ ? event.schema_bytes : 0);
  }

 private:
  using Entries = std::list<Entry>;

  void StartMerging();
  // Takes out what `event` stands for as well. Returns whether there was such an event.
  bool Absorb(absl::string_view channel);

  const size_t coalesce_above_events_;
  const bool include_schema_;
  Entries entries_;
  size_t bytes_ = 0;
  uint64_t lag_events_ = 0;
  bool is_behind_ = false;
  // While behind: for each channel, its last event if that can be merged away. The names lie in the events.
  absl::flat_hash_map<absl::string_view, Entries::iterator> mergeable_;
};

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_WATCH_QUEUE_H_
