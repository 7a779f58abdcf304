#include "broker/watch_feed.h"

#include <iterator>
#include <limits>
#include <utility>

#include "broker/usage_book.h"

namespace pylabhub::broker {
namespace {

constexpr absl::Duration kTick = absl::Seconds(1);
constexpr size_t kNoServer = std::numeric_limits<size_t>::max();

}  // namespace

void WatchFeed::SetServers(std::vector<std::function<void()>> wake) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const std::lock_guard<std::mutex> inbox_lock(inbox_mutex_);
  // Those who are left may still collect.
  if (!wake.empty()) ready_of_server_.resize(wake.size());
  wake_ = std::move(wake);
}

void WatchFeed::Publish(std::vector<Event> events) {
  const std::lock_guard<std::mutex> lock(inbox_mutex_);
  inbox_.insert(inbox_.end(), std::make_move_iterator(events.begin()), std::make_move_iterator(events.end()));
  if (!has_watchers_ || was_woken_ || wake_.empty()) return;
  was_woken_ = true;
  wake_.front()();
}

std::vector<WatcherId> WatchFeed::Collect(size_t server, absl::Time now) {
  const std::lock_guard<std::mutex> lock(mutex_);
  HandOut(EmptyInbox(), server);
  if (now - last_tick_ >= kTick) {
    last_tick_ = now;
    HandOut(hub_.Tick(now), server);
  }
  return std::exchange(ready_of_server_[server], {});
}

std::vector<WatcherId> WatchFeed::EmptyInbox() {
  std::vector<Event> events;
  {
    const std::lock_guard<std::mutex> inbox_lock(inbox_mutex_);
    events.swap(inbox_);
    was_woken_ = false;
  }
  return hub_.Publish(std::move(events));
}

absl::StatusOr<WatcherId> WatchFeed::Add(const std::string& identity, size_t server,
                                         const WatchFilter& filter, uint64_t after_revision,
                                         uint64_t directory_revision, absl::Time now) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (places_.size() >= max_watchers_) return RefuseBeyond("watchers", max_watchers_);
  const auto own = watchers_of_identity_.find(identity);
  if (own != watchers_of_identity_.end() && own->second >= max_watchers_per_identity_) {
    return RefuseBeyond("watchers_per_identity", max_watchers_per_identity_);
  }
  auto id = hub_.Add(filter, after_revision, directory_revision, now);
  if (!id.ok()) return id;
  places_[*id] = {.identity = identity, .server = server};
  ++watchers_of_identity_[identity];
  {
    const std::lock_guard<std::mutex> inbox_lock(inbox_mutex_);
    has_watchers_ = true;
  }
  // What was published while nobody watched may be for this one, and nobody is awake to bring it.
  HandOut(EmptyInbox(), kNoServer);
  return id;
}

void WatchFeed::Remove(WatcherId id) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto place = places_.find(id);
  if (place == places_.end()) return;
  const auto own = watchers_of_identity_.find(place->second.identity);
  if (--own->second == 0) watchers_of_identity_.erase(own);
  places_.erase(place);
  hub_.Remove(id);
  const std::lock_guard<std::mutex> inbox_lock(inbox_mutex_);
  has_watchers_ = !places_.empty();
}

absl::StatusOr<std::vector<WatchItem>> WatchFeed::Take(WatcherId id, size_t max_events, size_t max_bytes,
                                                       absl::Time now) {
  const std::lock_guard<std::mutex> lock(mutex_);
  return hub_.Take(id, max_events, max_bytes, now);
}

absl::Status WatchFeed::CheckPace(WatcherId id) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return hub_.CheckPace(id);
}

absl::Status WatchFeed::CheckHistory(const std::string& stated_history_id, const std::string& history_id,
                                     uint64_t after_revision, uint64_t directory_revision) const {
  if (stated_history_id.empty() || stated_history_id == history_id) return absl::OkStatus();
  const std::lock_guard<std::mutex> lock(mutex_);
  return hub_.RefuseCompacted(history_id, after_revision, directory_revision);
}

size_t WatchFeed::watcher_count() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return places_.size();
}

uint64_t WatchFeed::cut_off_count() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return hub_.cut_off_count();
}

void WatchFeed::HandOut(const std::vector<WatcherId>& ready, size_t server) {
  if (ready.empty()) return;
  for (const WatcherId id : ready) ready_of_server_[places_.at(id).server].push_back(id);
  const std::lock_guard<std::mutex> inbox_lock(inbox_mutex_);
  for (size_t other = 0; other < wake_.size(); ++other) {
    if (other != server && !ready_of_server_[other].empty()) wake_[other]();
  }
}

}  // namespace pylabhub::broker
