// A forked process that does one thing, reports how it went, and ends.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "tests/bench/bench.h"

namespace pylabhub::bench {

// Makes this process, a child of `parent`, die when `parent` does, also when it did so already.
void DieWith(pid_t parent);

// What a child tells its parent. In memory that they share, zeroed.
struct Report {
  bool done;
  bool ok;
  Sample sample;
  char error[512];
};

// Ownership: kills the process, if it still runs, and reaps it in the destructor.
class Child {
 public:
  // Forks a process that is pinned to `core`, runs `body`, writes what that returned into `report`, and exits. It dies
  // with its parent, which must be single-threaded.
  Child(std::string name, int core, Report& report, const std::function<absl::StatusOr<Sample>()>& body);
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child();

  bool started() const { return pidfd_ >= 0; }
  // Readable when the process has ended; -1 once that is known.
  int pidfd() const { return reaped_ ? -1 : pidfd_; }

  // Waits for the end of the process.
  void Reap();
  bool reaped() const { return reaped_; }
  bool succeeded() const { return report_.done && report_.ok; }
  // True if it still ran when it was looked at last, and has reported nothing.
  bool hangs() const { return !report_.done && !reaped_; }
  const Sample& sample() const { return report_.sample; }
  // Why it did not succeed, with its name.
  std::string Failure() const;

 private:
  const std::string name_;
  Report& report_;
  pid_t pid_ = -1;
  int pidfd_ = -1;
  bool reaped_ = false;
  int wait_status_ = 0;
};

}  // namespace pylabhub::bench
