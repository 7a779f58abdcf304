#include "tests/chaos/children.h"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <vector>

namespace pylabhub::chaos {
namespace {

int OpenPidfd(pid_t pid) { return static_cast<int>(syscall(SYS_pidfd_open, pid, 0)); }

}  // namespace

Children::Children() { prctl(PR_SET_CHILD_SUBREAPER, 1); }

Children::~Children() { KillAll(); }

pid_t Children::Start(int name, const std::function<int()>& body) {
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
    const rlimit no_core = {0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    // No destructor of the parent's objects runs here.
    _exit(body());
  }
  if (pid < 0) std::abort();
  running_[name] = {.pid = pid, .pidfd = OpenPidfd(pid)};
  return pid;
}

std::optional<Children::End> Children::WaitForOne(std::chrono::steady_clock::time_point deadline,
                                                  std::span<const int> sockets) {
  std::vector<pollfd> polls;
  std::vector<int> names;
  for (const auto& [name, handle] : running_) {
    polls.push_back({.fd = handle.pidfd, .events = POLLIN, .revents = 0});
    names.push_back(name);
  }
  for (const int socket : sockets) polls.push_back({.fd = socket, .events = POLLIN, .revents = 0});
  for (;;) {
    const auto left = deadline - std::chrono::steady_clock::now();
    const auto left_ms = std::chrono::duration_cast<std::chrono::milliseconds>(left).count();
    const int ready = poll(polls.data(), polls.size(), static_cast<int>(std::max<int64_t>(left_ms, 0)));
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return std::nullopt;
    for (size_t i = 0; i < names.size(); ++i) {
      if (polls[i].revents != 0) return Reap(names[i]);
    }
    return std::nullopt;
  }
}

Children::End Children::Reap(int name) {
  const Handle handle = running_.at(name);
  running_.erase(name);
  int status = 0;
  while (waitpid(handle.pid, &status, 0) < 0 && errno == EINTR) {
  }
  close(handle.pidfd);
  return {.name = name,
          .exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1,
          .signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0};
}

void Children::KillAll() {
  for (const auto& [name, handle] : running_) kill(handle.pid, SIGKILL);
  while (!running_.empty()) Reap(running_.begin()->first);
}

}  // namespace pylabhub::chaos
