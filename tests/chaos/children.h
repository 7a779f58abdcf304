// Forked children, and waiting for whichever of them ends first.
//
// Thread safety: thread-compatible; the process that forks has one thread.
#ifndef PYLABHUB_TESTS_CHAOS_CHILDREN_H_
#define PYLABHUB_TESTS_CHAOS_CHILDREN_H_

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <span>

namespace pylabhub::chaos {

class Children {
 public:
  struct End {
    int name;
    int exit_code;  // -1 if a signal ended it
    int signal;     // 0 if none did
  };

  // Orphans of its children become this process's own.
  Children();
  // Kills and reaps all that are left.
  ~Children();
  Children(const Children&) = delete;
  Children& operator=(const Children&) = delete;

  // Forks a child called `name`, which exits with what `body` returns. It dies with its parent, and leaves no core.
  pid_t Start(int name, const std::function<int()>& body);
  bool Runs(int name) const { return running_.contains(name); }
  bool empty() const { return running_.empty(); }
  pid_t pid(int name) const { return running_.at(name).pid; }
  // Waits for one to end, and reaps it: by then the kernel has dropped all that it held. Nothing after `deadline`, or as soon as
  // there is something to be read from one of `sockets`.
  std::optional<End> WaitForOne(std::chrono::steady_clock::time_point deadline,
                                std::span<const int> sockets = {});
  void KillAll();

 private:
  struct Handle {
    pid_t pid;
    int pidfd;
  };
  End Reap(int name);

  std::map<int, Handle> running_;
};

}  // namespace pylabhub::chaos

#endif  // PYLABHUB_TESTS_CHAOS_CHILDREN_H_
