// Keeps the policy as its file has it, while the broker runs.
//
// The file is looked at once in a while, by what the kernel says of it, so that it does not matter how it is replaced: by a
// rename, by a link that is turned (as orchestrators do), or in place. It is read once it has stayed the same from one look to
// the next, so that one which is being written is left alone; and it is checked before any of it counts. Until it is good, the
// policy before stands, and the log and the metrics say why.
//
// A writer who pauses in the middle for longer than that shows the broker a part of the file. If that part can be read, it
// allows nothing that the whole does not (proto/policy/policy.proto); replacing the file by a rename avoids it.
//
// Thread safety: thread-safe.
#ifndef PYLABHUB_BROKER_ACCESS_POLICY_KEEPER_H_
#define PYLABHUB_BROKER_ACCESS_POLICY_KEEPER_H_

#include <sys/types.h>

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "broker/log_hook.h"
#include "broker/metrics.h"
#include "proto/policy/policy.h"

namespace pylabhub::broker {

class PolicyKeeper {
 public:
  using PolicyPtr = std::shared_ptr<const policy::Policy>;

  struct Options {
    std::string file = {};
    absl::Duration look_interval = absl::Milliseconds(500);
    LogHook log = nullptr;
    // Called with each policy that is to stand from now on: by one thread at a time.
    std::function<void(const PolicyPtr&)> publish = nullptr;
  };

  // Knows no policy before the first Reload. `metrics` outlives the keeper, and the keeper whoever scrapes them.
  PolicyKeeper(Options options, Metrics& metrics);
  ~PolicyKeeper();

  PolicyKeeper(const PolicyKeeper&) = delete;
  PolicyKeeper& operator=(const PolicyKeeper&) = delete;

  // Begins to look by itself. Once.
  void Start();
  // When it returns, nothing is published any more but by Reload. Idempotent.
  void Stop();

  // Reads the file now, whether or not it has changed. When it returns OK, what the file says stands.
  //
  // Errors:
  //   kFailedPrecondition  the file is no good: a line for each problem; what stood before stands
  absl::Status Reload();

 private:
  // What tells one state of a file from another.
  struct Stamp {
    dev_t device = 0;
    ino_t inode = 0;  // 0: there is no file
    off_t bytes = 0;
    int64_t modify_ns = 0;
    int64_t change_ns = 0;

    bool operator==(const Stamp&) const = default;
  };

  static Stamp Look(const std::string& file);
  void LookUntilStopped();
  absl::Status Read(absl::string_view why);
  absl::Status Refuse(const std::string& problems);

  const Options options_;
  prometheus::Counter& good_;
  prometheus::Counter& bad_;

  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;      // all under mutex_
  Stamp seen_;                 // at the last look
  std::optional<Stamp> read_;  // when it was read last, good or bad; nothing: it is to be read again
  std::string text_;           // of the policy that stands
  std::string problems_;       // of what was refused since, and is in the log
  size_t rule_count_ = 0;
  absl::Time load_time_ = absl::UnixEpoch();

  std::thread thread_;
};

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_ACCESS_POLICY_KEEPER_H_
