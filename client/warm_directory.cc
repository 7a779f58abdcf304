#include "client/warm_directory.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "absl/hash/hash.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/error_reason.h"
#include "client/name_pattern.h"

namespace pylabhub {
namespace {

bool IsReady(const WarmDirectory::ChannelPtr& channel) {
  return channel != nullptr && channel->state == ChannelState::kReady;
}

WarmDirectory::ChannelPtr AsClosing(const Channel& channel) {
  Channel closing = channel;
  closing.state = ChannelState::kClosing;
  return std::make_shared<const Channel>(std::move(closing));
}

// What the step from one to the other is to somebody who follows the channel.
void NoteStep(const WarmDirectory::ChannelPtr& before, const WarmDirectory::ChannelPtr& after,
              WarmDirectory::Changes& changes) {
  if (IsReady(after)) {
    if (!IsReady(before) || before->epoch != after->epoch) changes.push_back(after);
  } else if (IsReady(before)) {
    changes.push_back(AsClosing(after == nullptr ? *before : *after));
  }
}

}  // namespace

size_t WarmDirectory::ShardOf(absl::string_view name) {
  // The upper bits: the table itself uses the lower ones.
  return absl::Hash<absl::string_view>()(name) >> 60;
}

WatchRequest WarmDirectory::Begin(std::vector<std::string> name_patterns) {
  // After revision 0 would mean from now on.
  const bool resumes = is_resumable_ && revision() > 0 && name_patterns == resumable_patterns_;
  is_resumable_ = false;
  resumable_patterns_ = name_patterns;
  snapshot_.reset();
  if (!resumes) snapshot_.emplace();
  last_event_revision_ = revision();
  {
    const std::lock_guard lock(mutex_);
    patterns_ = name_patterns;
  }
  return {.name_patterns = std::move(name_patterns),
          .snapshot = !resumes,
          .after_revision = resumes ? revision() : 0,
          .history_id = resumes ? history_id_ : ""};
}

absl::Status WarmDirectory::Apply(WatchBatch batch, Changes& changes) {
  if (batch.history_id.empty()) batch.history_id = history_id_;  // not stated
  if (!snapshot_.has_value() && batch.history_id != history_id_) {
    return absl::DataLossError(absl::StrCat("the stream is of history '", batch.history_id,
                                            "' by now, not of '", history_id_, "': a snapshot is needed"));
  }
  history_id_ = std::move(batch.history_id);
  for (WatchEvent& event : batch.events) ApplyEvent(std::move(event), changes);
  if (!snapshot_.has_value()) SetFresh(true);
  return absl::OkStatus();
}

void WarmDirectory::ApplyEvent(WatchEvent event, Changes& changes) {
  switch (event.kind) {
    case WatchEventKind::kUnknown:
      return;
    case WatchEventKind::kSnapshotComplete:
      if (snapshot_.has_value()) CompleteSnapshot(event.revision, changes);
      return;
    case WatchEventKind::kBookmark:
      if (snapshot_.has_value()) return;
      Told(event.revision);
      return;
    case WatchEventKind::kChannelRemoved:
      Remove(event.channel, changes);
      break;
    default:
      Store(std::make_shared<const Channel>(std::move(event.channel)), changes);
  }
  if (snapshot_.has_value()) return;
  // Others may share this event's revision, so only those before it have all been told.
  if (event.revision > last_event_revision_) Told(std::exchange(last_event_revision_, event.revision));
}

void WarmDirectory::Store(ChannelPtr channel, Changes& changes) {
  const std::string& name = channel->spec.name;
  if (snapshot_.has_value()) {
    (*snapshot_)[ShardOf(name)].insert_or_assign(name, std::move(channel));
    return;
  }
  Shard& shard = shards_[ShardOf(name)];
  ChannelPtr before;
  {
    const std::unique_lock lock(shard.mutex);
    ChannelPtr& known = shard.channels[name];
    before = std::exchange(known, channel);
  }
  NoteStep(before, channel, changes);
  Meet(name, channel->revision);
}

void WarmDirectory::Remove(const Channel& channel, Changes& changes) {
  const std::string& name = channel.spec.name;
  if (snapshot_.has_value()) {
    (*snapshot_)[ShardOf(name)].erase(name);
    return;
  }
  Shard& shard = shards_[ShardOf(name)];
  ChannelPtr before;
  {
    const std::unique_lock lock(shard.mutex);
    const auto found = shard.channels.find(name);
    if (found != shard.channels.end()) {
      before = std::move(found->second);
      shard.channels.erase(found);
    }
  }
  NoteStep(before, nullptr, changes);
  Meet(name, channel.revision);
}

void WarmDirectory::CompleteSnapshot(uint64_t revision, Changes& changes) {
  {
    // All at once: who lists sees the directory before or after, and no look-up finds it empty.
    std::array<std::unique_lock<std::shared_mutex>, kShards> locks;
    for (size_t i = 0; i < kShards; ++i) locks[i] = std::unique_lock(shards_[i].mutex);
    for (size_t i = 0; i < kShards; ++i) shards_[i].channels.swap((*snapshot_)[i]);
  }
  const Tables before = *std::exchange(snapshot_, std::nullopt);
  for (size_t i = 0; i < kShards; ++i) {
    // Only this thread writes to the shards, so it may read them without a lock.
    const Table& after = shards_[i].channels;
    for (const auto& [name, channel] : after) {
      const auto found = before[i].find(name);
      NoteStep(found == before[i].end() ? nullptr : found->second, channel, changes);
    }
    for (const auto& [name, channel] : before[i]) {
      // What the patterns leave out is no longer followed, which says nothing about it.
      if (!after.contains(name) && NameMatchesAny(name, resumable_patterns_))
        NoteStep(channel, nullptr, changes);
    }
  }
  last_event_revision_ = revision;
  // Set outright: another history may begin anywhere.
  told_revision_.store(revision, std::memory_order_relaxed);
  Told(revision);
}

void WarmDirectory::End(const absl::Status& why) {
  // A stream that ended in the middle of its snapshot has told nothing to go on from.
  is_resumable_ =
      !snapshot_.has_value() && !absl::IsDataLoss(why) && ReasonOf(why) != reason::kRevisionCompacted;
  snapshot_.reset();
  SetFresh(false);
}

void WarmDirectory::SetFresh(bool fresh) {
  // Release, pairs with is_fresh: who sees it sees the tables that were swapped in before.
  fresh_.store(fresh, std::memory_order_release);
}

void WarmDirectory::Told(uint64_t revision) {
  last_event_revision_ = std::max(last_event_revision_, revision);
  // Relaxed: a number that only grows while it is read; what it speaks of is guarded by the shards' locks.
  if (revision > told_revision_.load(std::memory_order_relaxed)) {
    told_revision_.store(revision, std::memory_order_relaxed);
  }
  if (expected_count_.load(std::memory_order_acquire) == 0) return;
  const std::lock_guard lock(mutex_);
  std::erase_if(expected_, [&](const auto& expected) { return expected.second <= revision; });
  expected_count_.store(expected_.size(), std::memory_order_release);
}

void WarmDirectory::Expect(const std::string& name, uint64_t revision) {
  const std::lock_guard lock(mutex_);
  // Of what nobody tells, nothing is answered.
  if (revision <= this->revision() || !patterns_.has_value() || !NameMatchesAny(name, *patterns_)) return;
  uint64_t& expected = expected_[name];
  expected = std::max(expected, revision);
  expected_count_.store(expected_.size(), std::memory_order_release);
}

void WarmDirectory::Meet(const std::string& name, uint64_t revision) {
  if (expected_count_.load(std::memory_order_acquire) == 0) return;
  const std::lock_guard lock(mutex_);
  const auto found = expected_.find(name);
  if (found == expected_.end() || found->second > revision) return;
  expected_.erase(found);
  expected_count_.store(expected_.size(), std::memory_order_release);
}

bool WarmDirectory::IsExpecting(absl::string_view name) const {
  if (expected_count_.load(std::memory_order_acquire) == 0) return false;
  const std::lock_guard lock(mutex_);
  return expected_.contains(std::string(name));
}

WarmDirectory::ChannelPtr WarmDirectory::FindLastKnown(absl::string_view name) const {
  const Shard& shard = shards_[ShardOf(name)];
  const std::shared_lock lock(shard.mutex);
  const auto found = shard.channels.find(name);
  return found == shard.channels.end() ? nullptr : found->second;
}

WarmDirectory::ChannelPtr WarmDirectory::FindReady(absl::string_view name) const {
  if (!is_fresh() || IsExpecting(name)) return nullptr;
  ChannelPtr found = FindLastKnown(name);
  return IsReady(found) ? found : nullptr;
}

bool WarmDirectory::Covers(absl::string_view name) const {
  if (!is_fresh()) return false;
  const std::lock_guard lock(mutex_);
  return patterns_.has_value() && NameMatchesAny(name, *patterns_);
}

std::vector<Channel> WarmDirectory::List(absl::string_view name_prefix) const {
  std::vector<ChannelPtr> found;
  {
    std::array<std::shared_lock<std::shared_mutex>, kShards> locks;
    for (size_t i = 0; i < kShards; ++i) locks[i] = std::shared_lock(shards_[i].mutex);
    for (const Shard& shard : shards_) {
      for (const auto& [name, channel] : shard.channels) {
        if (absl::StartsWith(name, name_prefix)) found.push_back(channel);
      }
    }
  }
  std::sort(found.begin(), found.end(),
            [](const ChannelPtr& a, const ChannelPtr& b) { return a->spec.name < b->spec.name; });
  std::vector<Channel> channels;
  channels.reserve(found.size());
  for (const ChannelPtr& channel : found) channels.push_back(*channel);
  return channels;
}

size_t WarmDirectory::size() const {
  size_t count = 0;
  for (const Shard& shard : shards_) {
    const std::shared_lock lock(shard.mutex);
    count += shard.channels.size();
  }
  return count;
}

}  // namespace pylabhub
