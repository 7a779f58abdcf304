#include "broker/watch_hub.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "broker/refusal.h"
#include "proto/names/name_pattern.h"

namespace pylabhub::broker {
namespace {

// Numbers, times and tags of an event on the wire, and of its consumer.
constexpr size_t kFixedEventBytes = 128;
constexpr size_t kFixedConsumerBytes = 64;
constexpr size_t kFixedMetadataBytes = 8;

size_t BytesOf(const ProcessInfo& process) {
  return process.host.size() + process.boot_id.size() + process.program.size();
}

size_t BytesOf(const Event& event) {
  const ChannelSpec& spec = *event.channel.spec;
  size_t bytes = kFixedEventBytes + spec.name.size() + spec.schema_hash.size() + spec.segment_id.size() +
                 spec.shared_memory.data_name.size() + spec.shared_memory.control_name.size() +
                 spec.shared_memory.anchor_name.size() + BytesOf(spec.process) +
                 event.channel.producer_identity.size() + event.channel.predecessor_segment_id.size();
  for (const auto& [key, value] : spec.metadata) bytes += kFixedMetadataBytes + key.size() + value.size();
  if (event.consumer != nullptr) {
    const ConsumerSpec& consumer = event.consumer->spec;
    bytes += kFixedConsumerBytes + consumer.channel_name.size() + consumer.consumer_id.size() +
             consumer.group.size() + event.consumer->identity.size() + BytesOf(consumer.process);
  }
  return bytes;
}

uint32_t BitOf(EventKind kind) { return uint32_t{1} << static_cast<int>(kind); }

uint32_t BitsOf(const std::optional<std::vector<EventKind>>& kinds) {
  if (!kinds.has_value()) return ~uint32_t{0};
  uint32_t bits = 0;
  for (const EventKind kind : *kinds) bits |= BitOf(kind);
  return bits;
}

bool HasWildcards(const WatchFilter& filter) {
  return filter.name_patterns.empty() ||
         !std::all_of(filter.name_patterns.begin(), filter.name_patterns.end(),
                      [](const std::string& pattern) { return names::IsExactPattern(pattern); });
}

}  // namespace

bool MaySee(const WatchFilter& filter, const std::string& name) {
  return !filter.may_see || filter.may_see(name);
}

bool MatchesName(const WatchFilter& filter, const std::string& name) {
  const bool is_wanted =
      filter.name_patterns.empty() ||
      std::any_of(filter.name_patterns.begin(), filter.name_patterns.end(),
                  [&](const std::string& pattern) { return names::Matches(pattern, name); });
  return is_wanted && MaySee(filter, name);
}

absl::StatusOr<WatcherId> WatchHub::Add(const WatchFilter& filter, uint64_t after_revision,
                                        uint64_t directory_revision, absl::Time now) {
  if (after_revision < history_.oldest_revision() || after_revision > directory_revision) {
    return RefuseCompacted(options_.history_id, after_revision, directory_revision);
  }
  const WatcherId id = ++last_id_;
  Watcher& watcher =
      watchers_
          .emplace(id, Watcher{.id = id,
                               .filter = filter,
                               .kinds = BitsOf(filter.kinds),
                               .queue = WatchQueue(options_.coalesce_above_events, filter.include_schema),
                               .revision = after_revision,
                               .last_told = now})
          .first->second;
  if (HasWildcards(filter)) {
    with_wildcards_.insert(&watcher);
  } else {
    for (const std::string& name : filter.name_patterns) by_name_[name].insert(&watcher);
  }
  history_.ForEachAfter(after_revision, [&](const SharedEvent& event) {
    if ((watcher.kinds & BitOf(event->event.kind)) == 0) return;
    if (MatchesName(filter, event->event.channel.spec->name)) watcher.queue.Push(event);
  });
  watcher.backlog_events = watcher.queue.size();
  watcher.backlog_bytes = watcher.queue.bytes();
  return id;
}

void WatchHub::Remove(WatcherId id) {
  const auto found = watchers_.find(id);
  if (found == watchers_.end()) return;
  Watcher& watcher = found->second;
  if (with_wildcards_.erase(&watcher) == 0) {
    for (const std::string& name : watcher.filter.name_patterns) {
      const auto same_name = by_name_.find(name);
      if (same_name == by_name_.end()) continue;
      same_name->second.erase(&watcher);
      if (same_name->second.empty()) by_name_.erase(same_name);
    }
  }
  watchers_.erase(found);
}

std::vector<WatcherId> WatchHub::Publish(std::vector<Event> events) {
  std::vector<WatcherId> ready;
  for (Event& event : events) {
    const size_t bytes = BytesOf(event);
    const size_t schema_bytes = event.channel.spec->schema.size();
    const auto shared = std::make_shared<const SizedEvent>(SizedEvent{std::move(event), bytes, schema_bytes});
    history_.Add(shared);
    const std::string& name = shared->event.channel.spec->name;
    for (Watcher* watcher : with_wildcards_) {
      if (MatchesName(watcher->filter, name)) Tell(*watcher, shared, ready);
    }
    const auto named = by_name_.find(name);
    if (named == by_name_.end()) continue;
    for (Watcher* watcher : named->second) {
      if (MaySee(watcher->filter, name)) Tell(*watcher, shared, ready);
    }
  }
  std::sort(ready.begin(), ready.end());
  return ready;
}

void WatchHub::Tell(Watcher& watcher, const SharedEvent& event, std::vector<WatcherId>& ready) {
  // What happened before it came may be published after.
  if (event->event.revision <= watcher.revision || watcher.cut_off_lag != 0) return;
  if ((watcher.kinds & BitOf(event->event.kind)) == 0) return;
  watcher.queue.Push(event);
  if (IsTooSlow(watcher)) {
    watcher.cut_off_lag = watcher.queue.lag_events();
    ++cut_off_count_;
    watcher.queue.Clear();
    // Whoever serves it is told in any case, also in the middle of a write.
    watcher.is_idle = true;
  }
  Wake(watcher, ready);
}

bool WatchHub::IsTooSlow(const Watcher& watcher) const {
  return watcher.queue.size() > options_.max_queue_events + watcher.backlog_events ||
         watcher.queue.bytes() > options_.max_queue_bytes + watcher.backlog_bytes;
}

std::vector<WatcherId> WatchHub::Tick(absl::Time now) {
  std::vector<WatcherId> ready;
  for (auto& [id, watcher] : watchers_) {
    if (!watcher.is_idle) continue;
    const absl::Duration silent_for = now - watcher.last_told;
    const bool others_went_by = revision() > watcher.revision;
    if (silent_for < (others_went_by ? options_.bookmark_soon : options_.bookmark_interval)) continue;
    watcher.bookmark_is_due = true;
    Wake(watcher, ready);
  }
  return ready;
}

absl::StatusOr<std::vector<WatchItem>> WatchHub::Take(WatcherId id, size_t max_events, size_t max_bytes,
                                                      absl::Time now) {
  if (absl::Status status = CheckPace(id); !status.ok()) return status;
  Watcher& watcher = watchers_.at(id);
  std::vector<WatchItem> items;
  size_t bytes = 0;
  while (!watcher.queue.empty() && items.size() < max_events) {
    bytes += watcher.queue.BytesOf(*watcher.queue.front().event);
    if (bytes > max_bytes && !items.empty()) break;
    WatchQueue::Entry entry = watcher.queue.Pop();
    watcher.revision = entry.event->event.revision;
    items.push_back(
        {.event = std::move(entry.event), .coalesced = entry.coalesced, .revision = watcher.revision});
  }
  if (watcher.queue.empty()) {
    watcher.backlog_events = 0;
    watcher.backlog_bytes = 0;
    if (items.empty() && watcher.bookmark_is_due) {
      watcher.revision = std::max(watcher.revision, revision());
      items.push_back({.revision = watcher.revision});
    }
  }
  watcher.is_idle = items.empty();
  if (!items.empty()) {
    watcher.last_told = now;
    watcher.bookmark_is_due = false;
  }
  return items;
}

absl::Status WatchHub::CheckPace(WatcherId id) const {
  const uint64_t lag = watchers_.at(id).cut_off_lag;
  if (lag == 0) return absl::OkStatus();
  return Refuse(Reason::kWatcherTooSlow,
                absl::StrCat("this watcher did not read its events in time: ", lag,
                             " were waiting for it; watch again from the last revision that it read"),
                {{"lag_events", absl::StrCat(lag)}});
}

absl::Status WatchHub::RefuseCompacted(const std::string& history_id, uint64_t after_revision,
                                       uint64_t directory_revision) const {
  return Refuse(Reason::kRevisionCompacted,
                absl::StrCat("the events after revision ", after_revision, " are not here; those after ",
                             history_.oldest_revision(), " are, up to ", directory_revision,
                             "; watch again with a snapshot"),
                {{"oldest_revision", absl::StrCat(history_.oldest_revision())},
                 {"revision", absl::StrCat(directory_revision)},
                 {"history_id", history_id}});
}

void WatchHub::Wake(Watcher& watcher, std::vector<WatcherId>& ready) {
  if (!watcher.is_idle) return;
  watcher.is_idle = false;
  ready.push_back(watcher.id);
}

}  // namespace pylabhub::broker
