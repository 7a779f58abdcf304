#include "shm/os/fork_guard.h"

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <mutex>
#include <vector>

namespace pylabhub::shm {

namespace fork_internal {
std::atomic<uint64_t> generation = 0;
}

namespace {

// The descriptors to close in a child. Never destroyed: a child may be forked while the process ends.
struct Registry {
  std::mutex mutex;
  std::vector<int> fds;

  Registry() {
    pthread_atfork([] { Get().mutex.lock(); }, [] { Get().mutex.unlock(); }, &Registry::InChild);
  }

  static Registry& Get() {
    static Registry* registry = new Registry;
    return *registry;
  }

  static void InChild() {
    Registry& registry = Get();
    for (int fd : registry.fds) close(fd);
    registry.fds.clear();
    fork_internal::generation.fetch_add(1, std::memory_order_relaxed);
    registry.mutex.unlock();
  }
};

// Forks are counted from the start, not from the first descriptor.
[[maybe_unused]] const Registry& registry_from_the_start = Registry::Get();

}  // namespace

UniqueFd::UniqueFd(int fd) : fd_(fd), generation_(ForkGeneration()) {
  if (fd_ < 0) return;
  Registry& registry = Registry::Get();
  std::lock_guard lock(registry.mutex);
  registry.fds.push_back(fd_);
}

UniqueFd UniqueFd::Make(const std::function<int()>& make) {
  Registry& registry = Registry::Get();
  std::lock_guard lock(registry.mutex);
  UniqueFd made;
  made.fd_ = make();
  made.generation_ = ForkGeneration();
  const int error = errno;
  if (made.valid()) registry.fds.push_back(made.fd_);
  errno = error;
  return made;
}

UniqueFd UniqueFd::Open(const std::string& path, int flags, mode_t mode) {
  return Make([&] { return open(path.c_str(), flags, mode); });
}

UniqueFd& UniqueFd::operator=(UniqueFd&& other) noexcept {
  if (this == &other) return *this;
  Close();
  fd_ = std::exchange(other.fd_, -1);
  generation_ = other.generation_;
  return *this;
}

void UniqueFd::Close() {
  if (fd_ < 0) return;
  const int fd = std::exchange(fd_, -1);
  // In a child the number was closed at birth, and may be somebody else's now.
  if (generation_ != ForkGeneration()) return;
  Registry& registry = Registry::Get();
  std::lock_guard lock(registry.mutex);
  std::erase(registry.fds, fd);
  close(fd);
}

}  // namespace pylabhub::shm
