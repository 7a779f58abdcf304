// The latest events, for watchers that come back.
//
// Thread safety: thread-compatible.
// Ownership:     events are shared with whoever got them; they never change.
#ifndef PYLABHUB_BROKER_EVENT_HISTORY_H_
#define PYLABHUB_BROKER_EVENT_HISTORY_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <utility>

#include "broker/channel_types.h"

namespace pylabhub::broker {

// An event, and about how many bytes it has on the wire.
struct SizedEvent {
  Event event;
  size_t bytes = 0;         // without its schema
  size_t schema_bytes = 0;  // the schema alone
};
using SharedEvent = std::shared_ptr<const SizedEvent>;

class EventHistory {
 public:
  // Keeps at most `max_events` events, and at most `max_bytes` of them but for the latest one. Nothing is known
  // of what happened up to `revision`.
  EventHistory(size_t max_events, size_t max_bytes, uint64_t revision)
      : max_events_(max_events), max_bytes_(max_bytes), oldest_revision_(revision), revision_(revision) {}

  // Of a greater revision than every event before.
  void Add(SharedEvent event) {
    revision_ = event->event.revision;
    bytes_ += BytesOf(*event);
    events_.push_back(std::move(event));
    while (events_.size() > max_events_ || (bytes_ > max_bytes_ && events_.size() > 1)) {
      oldest_revision_ = events_.front()->event.revision;
      bytes_ -= BytesOf(*events_.front());
      events_.pop_front();
    }
  }

  // Calls `each(event)` with every event after `revision`, in their order. `revision` is at least
  // oldest_revision().
  template <typename Each>
  void ForEachAfter(uint64_t revision, Each each) const {
    const auto after = [](uint64_t value, const SharedEvent& event) { return value < event->event.revision; };
    for (auto next = std::upper_bound(events_.begin(), events_.end(), revision, after); next != events_.end();
         ++next) {
      each(*next);
    }
  }

  // Every event after this revision, or after a later one, is kept.
  uint64_t oldest_revision() const { return oldest_revision_; }
  // Of the latest event.
  uint64_t revision() const { return revision_; }
  size_t size() const { return events_.size(); }

 private:
  static size_t BytesOf(const SizedEvent& event) { return event.bytes + event.schema_bytes; }

  const size_t max_events_;
  const size_t max_bytes_;
  std::deque<SharedEvent> events_;
  size_t bytes_ = 0;
  uint64_t oldest_revision_;
  uint64_t revision_;
};

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_EVENT_HISTORY_H_
