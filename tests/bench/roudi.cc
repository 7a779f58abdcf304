#include "tests/bench/roudi.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/bench/child.h"

namespace pylabhub::bench {
namespace {

constexpr char kProgram[] = "/usr/bin/iox-roudi";
constexpr int kStartMs = 10'000;
constexpr int kStopMs = 5'000;

// Returns the path of a new configuration file, empty when it cannot be written.
std::string WriteConfig(uint64_t payload_bytes, uint64_t chunks) {
  char path[] = "/tmp/pylabhub-bench-roudi-XXXXXX";
  const int file = mkstemp(path);
  if (file < 0) return "";
  const std::string config =
      absl::StrCat("[general]\nversion = 1\n[[segment]]\n[[segment.mempool]]\nsize = ", payload_bytes,
                   "\ncount = ", chunks, "\n");
  const bool written = write(file, config.data(), config.size()) == static_cast<ssize_t>(config.size());
  close(file);
  return written ? path : "";
}

// Whether the process ended, or `timeout_ms` passed first.
bool EndsWithin(pid_t pid, int timeout_ms) {
  const int pidfd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  pollfd end = {.fd = pidfd, .events = POLLIN, .revents = 0};
  const bool ended = poll(&end, 1, timeout_ms) == 1;
  close(pidfd);
  return ended;
}

}  // namespace

absl::StatusOr<Roudi> Roudi::Start(uint64_t payload_bytes, uint64_t chunks, bool monitoring) {
  if (access(kProgram, X_OK) != 0) {
    return absl::NotFoundError(absl::StrCat(kProgram, " is missing; run third_party/install.sh bench"));
  }
  const std::string config = WriteConfig(payload_bytes, chunks);
  int ends[2];
  if (config.empty() || pipe2(ends, O_CLOEXEC) != 0) {
    return absl::ErrnoToStatus(errno, "no configuration for RouDi in /tmp");
  }
  const pid_t parent = getpid();
  std::fflush(nullptr);
  const pid_t pid = fork();
  if (pid == 0) {
    DieWith(parent);
    dup2(ends[1], STDOUT_FILENO);
    dup2(ends[1], STDERR_FILENO);
    execl(kProgram, kProgram, "-m", monitoring ? "on" : "off", "-l", "error", "-c", config.c_str(), nullptr);
    _exit(127);
  }
  close(ends[1]);
  Roudi roudi(pid, ends[0]);
  absl::Status ready = pid < 0 ? absl::ErrnoToStatus(errno, "cannot start RouDi") : roudi.WaitUntilReady();
  unlink(config.c_str());
  if (!ready.ok()) return ready;
  return roudi;
}

absl::Status Roudi::WaitUntilReady() {
  std::string printed;
  char buffer[512];
  pollfd readable = {.fd = output_, .events = POLLIN, .revents = 0};
  while (poll(&readable, 1, kStartMs) == 1) {
    const ssize_t count = read(output_, buffer, sizeof(buffer));
    if (count <= 0) break;
    printed.append(buffer, static_cast<size_t>(count));
    if (absl::StrContains(printed, "RouDi is ready for clients")) return absl::OkStatus();
  }
  return absl::UnavailableError(absl::StrCat("RouDi does not start: ", printed));
}

Roudi::~Roudi() {
  if (output_ >= 0) close(output_);
  if (pid_ <= 0) return;
  kill(pid_, SIGTERM);
  if (!EndsWithin(pid_, kStopMs)) kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

}  // namespace pylabhub::bench
