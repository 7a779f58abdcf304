// Many streams on many connections, of whatever service, read by one thread that looks at what comes as bytes: so that what is
// measured is the service and not its client.
#pragma once

#include <grpcpp/completion_queue.h>

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tests/bench/control/watched_name.h"

namespace pylabhub::bench {

// Thread safety: Begin, Await and AwaitBeginning are one thread's.
// Ownership:     the destructor cancels the streams.
class WatchStreams {
 public:
  using Clock = std::chrono::steady_clock;

  // Opens `streams` on each of `connections`.
  WatchStreams(const WatchedName& watched, int connections, int streams);
  ~WatchStreams();
  WatchStreams(const WatchStreams&) = delete;
  WatchStreams& operator=(const WatchStreams&) = delete;

  // Waits until every stream has answered.
  absl::Status AwaitBeginning();

  // From now on a message counts in which `mark` stands.
  void Begin(const std::string& mark);
  // Waits until every stream has had such a message; when the last one did.
  absl::StatusOr<Clock::time_point> Await();

 private:
  class Stream;

  void ReadAll();
  void Count(Stream& stream, const std::string& message);

  grpc::CompletionQueue queue_;
  std::vector<std::unique_ptr<Stream>> streams_;
  std::thread reader_;

  std::mutex mutex_;
  std::condition_variable changed_;
  // All below under mutex_.
  std::string mark_;
  uint64_t mark_number_ = 0;
  size_t begun_ = 0;
  size_t told_ = 0;
  size_t ended_ = 0;
  Clock::time_point last_time_;
};

}  // namespace pylabhub::bench
