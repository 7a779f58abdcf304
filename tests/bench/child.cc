#include "tests/bench/child.h"

#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"

namespace pylabhub::bench {
namespace {

void Write(const absl::StatusOr<Sample>& result, Report& report) {
  report.ok = result.ok();
  if (result.ok()) {
    report.sample = *result;
  } else {
    std::snprintf(report.error, sizeof(report.error), "%s", std::string(result.status().message()).c_str());
  }
  report.done = true;
}

void PinTo(int core) {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  CPU_SET(core, &cores);
  sched_setaffinity(0, sizeof(cores), &cores);
}

}  // namespace

void DieWith(pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(1);
}

Child::Child(std::string name, int core, Report& report, const std::function<absl::StatusOr<Sample>()>& body)
    : name_(std::move(name)), report_(report) {
  const pid_t parent = getpid();
  std::fflush(nullptr);
  pid_ = fork();
  if (pid_ == 0) {
    DieWith(parent);
    PinTo(core);
    Write(body(), report);
    // Runs the static destructors: the iceoryx runtime says goodbye to its daemon there.
    std::exit(0);
  }
  if (pid_ > 0) pidfd_ = static_cast<int>(syscall(SYS_pidfd_open, pid_, 0));
}

Child::~Child() {
  if (pid_ > 0 && !reaped_) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  if (pidfd_ >= 0) close(pidfd_);
}

void Child::Reap() {
  waitpid(pid_, &wait_status_, 0);
  reaped_ = true;
}

std::string Child::Failure() const {
  if (report_.done) return absl::StrCat(name_, ": ", report_.error);
  if (!reaped_) return absl::StrCat(name_, ": hangs; killed");
  if (WIFSIGNALED(wait_status_)) return absl::StrCat(name_, ": killed by signal ", WTERMSIG(wait_status_));
  return absl::StrCat(name_, ": ended with code ", WEXITSTATUS(wait_status_));
}

}  // namespace pylabhub::bench
