// The channels that a process follows, as its Watch stream tells them: by name, at a known revision.
//
//   Begin: what to ask the broker for. After a stream of the same patterns that can be resumed, the changes since; else a
//          snapshot
//   Apply: what the stream brought, batch by batch
//   End:   why the stream ended
//
// A channel is answered only while the directory is fresh: the stream is up, and has told the whole snapshot, or something
// since it was resumed. A snapshot
// is put together aside and takes the place of what was known at one instant, so that nobody sees a channel absent that is
// in both. A directory does no I/O, has no thread and reads no clock.
//
// Thread safety: thread-safe. Begin, Apply and End belong to one thread at a time: the stream's.
// Time:          a look-up takes one lock of 16, shared among readers, for as long as a hash table is probed.
// Ownership:     what is answered stays as it was told, for whoever keeps it.
#ifndef PYLABHUB_CLIENT_WARM_DIRECTORY_H_
#define PYLABHUB_CLIENT_WARM_DIRECTORY_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "client/broker_types.h"

namespace pylabhub {

class WarmDirectory {
 public:
  using ChannelPtr = std::shared_ptr<const Channel>;
  // A channel that became ready (for the first time, or under another epoch: kReady), or that cannot be discovered any more
  // (kClosing, with the reason as far as it is known).
  using Changes = std::vector<ChannelPtr>;

  // A stream over `name_patterns` is to begin.
  WatchRequest Begin(std::vector<std::string> name_patterns);

  // Adds to `changes` what became of channels. An error says that the stream cannot go on: it is of another history.
  absl::Status Apply(WatchBatch batch, Changes& changes);

  // From here on nothing is fresh. What is known stays known: the next stream goes on from there, if it can.
  void End(const absl::Status& why);

  // The channel, if it is ready and the directory fresh; else null.
  ChannelPtr FindReady(absl::string_view name) const;

  // As it was told last, ready or not, fresh or not; null if nothing was.
  ChannelPtr FindLastKnown(absl::string_view name) const;

  // Whether what is not found does not exist: the directory is fresh, and its stream tells of this name.
  bool Covers(absl::string_view name) const;

  // This process itself has changed the channel, at `revision`: until the stream has told that too, FindReady has no answer.
  void Expect(const std::string& name, uint64_t revision);

  // Those known whose name begins so, ready or not, by name.
  std::vector<Channel> List(absl::string_view name_prefix) const;

  bool is_fresh() const { return fresh_.load(std::memory_order_acquire); }
  // Everything until this revision has been told. 0 before the first snapshot.
  uint64_t revision() const { return told_revision_.load(std::memory_order_relaxed); }
  size_t size() const;

 private:
  using Table = absl::flat_hash_map<std::string, ChannelPtr>;
  // A line of its own for each lock.
  struct alignas(128) Shard {
    mutable std::shared_mutex mutex;
    Table channels;  // guarded by mutex
  };
  static constexpr size_t kShards = 16;
  using Tables = std::array<Table, kShards>;

  static size_t ShardOf(absl::string_view name);
  void ApplyEvent(WatchEvent event, Changes& changes);
  void CompleteSnapshot(uint64_t revision, Changes& changes);
  void Store(ChannelPtr channel, Changes& changes);
  void Remove(const Channel& channel, Changes& changes);
  void SetFresh(bool fresh);
  void Told(uint64_t revision);
  void Meet(const std::string& name, uint64_t revision);
  bool IsExpecting(absl::string_view name) const;

  std::array<Shard, kShards> shards_;
  std::atomic<bool> fresh_ = false;
  std::atomic<uint64_t> told_revision_ = 0;

  // Of the stream's thread.
  std::optional<Tables> snapshot_;  // while one comes in
  std::vector<std::string> resumable_patterns_;
  bool is_resumable_ = false;
  std::string history_id_;
  uint64_t last_event_revision_ = 0;

  mutable std::mutex mutex_;
  // Of the stream, or the last one; none before the first.
  std::optional<std::vector<std::string>> patterns_;       // guarded by mutex_
  std::map<std::string, uint64_t, std::less<>> expected_;  // guarded by mutex_
  // expected_.size(), so that look-ups need no lock for it as a rule.
  std::atomic<size_t> expected_count_ = 0;
};

}  // namespace pylabhub

#endif  // PYLABHUB_CLIENT_WARM_DIRECTORY_H_
