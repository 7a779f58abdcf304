// Keeps a warm directory up to date: a thread with one Watch stream, for everything that a process follows.
//
// The stream begins with the first name that is followed, and begins again, wider, when another one is that its patterns do
// not match. When it ends, the next one begins after a while that grows and is random in part, and goes on where the last
// one ended if the broker still can; else it lists again. Where a broker does not watch, that is tried once a minute.
//
// Thread safety: thread-safe. The hooks are called with no lock held, from the watcher's thread.
// Time:          a stream has no deadline; the connection notices a broker that is gone.
// Ownership:     the connection must outlive the watcher. The destructor stops it.
#ifndef PYLABHUB_CLIENT_CHANNEL_WATCHER_H_
#define PYLABHUB_CLIENT_CHANNEL_WATCHER_H_

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/backoff.h"
#include "client/broker_connection.h"
#include "client/messenger_event.h"
#include "client/warm_directory.h"
#include "client/watch_interest.h"

namespace pylabhub {

class ChannelWatcher {
 public:
  struct Options {
    bool follows_names = true;               // else only patterns
    std::vector<std::string> patterns = {};  // followed from the start
    // The channels that are consumed now. Called with a lock held, when a stream begins: must not call the watcher.
    std::function<std::vector<std::string>()> consumed_names;
    std::function<void(const WarmDirectory::Changes&)> on_changes;
    std::function<void()>
        on_fresh;  // the directory has become fresh; the changes that it took were told before
    LogHook log;
  };

  struct Counts {
    uint64_t streams = 0;    // begun
    uint64_t snapshots = 0;  // of which with a snapshot; the others resumed
    uint64_t events = 0;
  };

  ChannelWatcher(BrokerConnection& connection, Options options);
  ChannelWatcher(const ChannelWatcher&) = delete;
  ChannelWatcher& operator=(const ChannelWatcher&) = delete;
  ~ChannelWatcher() { Stop(); }

  // `pattern` must be one (name_pattern.h), or a broker refuses the stream.
  void Follow(const std::string& pattern);
  // Somebody asks for this channel, or consumes it (consumed_names has it already). Nothing where only patterns are
  // followed, or no channel can have this name.
  void Ask(const std::string& name);
  void Consume(const std::string& name);

  const WarmDirectory& directory() const { return directory_; }
  void Expect(const std::string& name, uint64_t revision) { directory_.Expect(name, revision); }

  // Waits at most `timeout` until the channel is ready as the directory knows it. Null after that; also, at once, when a
  // directory that covered the name does not any more.
  WarmDirectory::ChannelPtr AwaitReady(const std::string& name, absl::Duration timeout);

  // Waits at most `timeout` until the directory is fresh; whether it is.
  bool AwaitFresh(absl::Duration timeout);

  Counts counts() const;

  // Ends the stream and the thread. Idempotent.
  void Stop();

 private:
  // Expects mutex_ to be held.
  void BeginStreamAnew();
  void Run();
  absl::Status Read(WatchStream& stream);
  void Announce(const WarmDirectory::Changes& changes, bool became_fresh);
  // Expects mutex_ to be held.
  WatchRequest BeginStream();
  // Expects mutex_ to be held by `lock`. Waits that long, or until Stop.
  void Pause(std::unique_lock<std::mutex>& lock, absl::Duration duration);

  BrokerConnection& connection_;
  const Options options_;
  WarmDirectory directory_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  // All below are guarded by mutex_.
  WatchInterest interest_;
  std::vector<std::string> patterns_in_use_;
  std::unique_ptr<WatchStream> stream_;
  bool widening_ = false;  // the stream was cancelled so that a wider one can begin
  bool stopping_ = false;
  std::map<std::string, size_t> awaited_;  // by how many
  Counts counts_;
  std::thread thread_;
};

}  // namespace pylabhub

#endif  // PYLABHUB_CLIENT_CHANNEL_WATCHER_H_
