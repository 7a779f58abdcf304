// What fork() must not share: descriptors whose locks say that this process is alive, and mappings.
//
// A lock of an open file description lives until the last descriptor of that description is closed, and a
// forked child has copies of them all: it would keep its dead parent alive. So the child closes every
// UniqueFd at birth, without unlocking (which would drop the parent's lock), and from then on its copies of
// the parent's objects touch nothing.
//
// Thread safety: ForkGeneration may be called from any thread; a UniqueFd is thread-compatible.
#ifndef PYLABHUB_SHM_OS_FORK_GUARD_H_
#define PYLABHUB_SHM_OS_FORK_GUARD_H_

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>

namespace pylabhub::shm {

namespace fork_internal {
extern std::atomic<uint64_t> generation;
}

// How many forks lie between the process that loaded this code and this one. An object made in another
// generation belongs to a parent.
inline uint64_t ForkGeneration() {
  // Relaxed: it changes in a child that has one thread.
  return fork_internal::generation.load(std::memory_order_relaxed);
}

// Owns a file descriptor that a forked child closes at birth.
class UniqueFd {
 public:
  UniqueFd() = default;
  // Takes `fd`, which may be -1 for none.
  explicit UniqueFd(int fd);
  // What `make` returns, in one step with respect to a fork by another thread; `make` must not make a UniqueFd itself.
  // -1 and errno as it left them.
  static UniqueFd Make(const std::function<int()>& make);
  // open(2), in the same way.
  static UniqueFd Open(const std::string& path, int flags, mode_t mode = 0);
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)), generation_(other.generation_) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept;
  ~UniqueFd() { Close(); }

  bool valid() const { return fd_ >= 0; }
  int get() const { return fd_; }

 private:
  void Close();

  int fd_ = -1;
  uint64_t generation_ = 0;
};

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_OS_FORK_GUARD_H_
