#include "broker/watch_queue.h"

#include <utility>

namespace pylabhub::broker {
namespace {

absl::string_view ChannelOf(const SizedEvent& event) { return event.event.channel.spec->name; }

bool IsMergeable(const SizedEvent& event) {
  return event.event.kind != EventKind::kChannelClosing && event.event.kind != EventKind::kChannelRemoved;
}

}  // namespace

void WatchQueue::Push(SharedEvent event) {
  if (!is_behind_ && entries_.size() >= coalesce_above_events_) StartMerging();
  const bool coalesced = is_behind_ && Absorb(ChannelOf(*event));
  ++lag_events_;
  bytes_ += BytesOf(*event);
  entries_.push_back({.event = std::move(event), .coalesced = coalesced});
  const SizedEvent& pushed = *entries_.back().event;
  if (is_behind_ && IsMergeable(pushed)) mergeable_[ChannelOf(pushed)] = std::prev(entries_.end());
}

WatchQueue::Entry WatchQueue::Pop() {
  const auto oldest = entries_.begin();
  if (is_behind_) {
    const auto found = mergeable_.find(ChannelOf(*oldest->event));
    if (found != mergeable_.end() && found->second == oldest) mergeable_.erase(found);
  }
  Entry entry = std::move(*oldest);
  bytes_ -= BytesOf(*entry.event);
  entries_.pop_front();
  --lag_events_;
  if (entries_.empty()) Clear();
  return entry;
}

void WatchQueue::Clear() {
  mergeable_.clear();
  entries_.clear();
  bytes_ = 0;
  lag_events_ = 0;
  is_behind_ = false;
}

void WatchQueue::StartMerging() {
  is_behind_ = true;
  for (auto entry = entries_.begin(); entry != entries_.end(); ++entry) {
    if (IsMergeable(*entry->event)) {
      mergeable_[ChannelOf(*entry->event)] = entry;
    } else {
      mergeable_.erase(ChannelOf(*entry->event));
    }
  }
}

bool WatchQueue::Absorb(absl::string_view channel) {
  const auto found = mergeable_.find(channel);
  if (found == mergeable_.end()) return false;
  const Entries::iterator absorbed = found->second;
  // First the key, which lies in the event.
  mergeable_.erase(found);
  bytes_ -= BytesOf(*absorbed->event);
  entries_.erase(absorbed);
  return true;
}

}  // namespace pylabhub::broker
