#include "tests/bench/trial.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/bench/clock.h"
#include "tests/bench/shared_memory.h"
#include "tests/bench/waiting.h"

namespace pylabhub::bench {
namespace {

// Time to open channels; iceoryx connects its ports only every 100 ms.
constexpr double kSetUpSeconds = 10;

// What a child tells its parent. One each, in shared memory.
struct Report {
  bool done;
  bool ok;
  Sample sample;
  char error[512];
};

struct TrialMemory {
  StartLine start_line;
  alignas(128) Report measuring;
  alignas(128) Report other;
};

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

// A forked process. Killed and reaped in the destructor if it still runs.
class Child {
 public:
  Child(int core, Report& report, const std::function<absl::StatusOr<Sample>()>& body) : report_(report) {
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
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    if (pid_ > 0 && !reaped_) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
    if (pidfd_ >= 0) close(pidfd_);
  }

  bool started() const { return pidfd_ >= 0; }
  int pidfd() const { return reaped_ ? -1 : pidfd_; }
  bool reaped() const { return reaped_; }
  bool failed() const { return reaped_ && !(report_.done && report_.ok); }

  void Reap() {
    waitpid(pid_, &wait_status_, 0);
    reaped_ = true;
  }

  absl::StatusOr<Sample> Result(const char* side) const {
    if (report_.done && report_.ok) return report_.sample;
    if (report_.done) return absl::InternalError(absl::StrCat(side, ": ", report_.error));
    if (!reaped_) return absl::DeadlineExceededError(absl::StrCat(side, ": hangs; killed"));
    if (WIFSIGNALED(wait_status_)) {
      return absl::InternalError(absl::StrCat(side, ": killed by signal ", WTERMSIG(wait_status_)));
    }
    return absl::InternalError(absl::StrCat(side, ": ended with code ", WEXITSTATUS(wait_status_)));
  }

 private:
  pid_t pid_ = -1;
  int pidfd_ = -1;
  bool reaped_ = false;
  int wait_status_ = 0;
  Report& report_;
};

// Waits until all have ended, one has failed and the others had a second to say why too, or the time is up.
// Sleeps all the while: the parent must not take time from the children's cores.
template <typename... Children>
void WaitForAll(double patience_seconds, Children&... children) {
  uint64_t deadline_ticks = NowTicks() + TicksOf(patience_seconds);
  for (;;) {
    pollfd ends[] = {{.fd = children.pidfd(), .events = POLLIN, .revents = 0}...};
    const bool all_reaped = (children.reaped() && ...);
    const uint64_t now_ticks = NowTicks();
    if (all_reaped || now_ticks >= deadline_ticks) return;

    const double left_ns = static_cast<double>(deadline_ticks - now_ticks) * NsPerTick();
    if (poll(ends, std::size(ends), static_cast<int>(left_ns / 1e6) + 1) < 0 && errno != EINTR) return;
    size_t next = 0;
    ((ends[next++].revents != 0 ? children.Reap() : void()), ...);
    if ((children.failed() || ...)) deadline_ticks = std::min(deadline_ticks, now_ticks + TicksOf(1));
  }
}

}  // namespace

absl::StatusOr<Cores> FirstTwoCores() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  sched_getaffinity(0, sizeof(allowed), &allowed);
  int found[2];
  int count = 0;
  for (int core = 0; core < CPU_SETSIZE && count < 2; ++core) {
    if (CPU_ISSET(core, &allowed)) found[count++] = core;
  }
  if (count < 2) {
    return absl::FailedPreconditionError("this process may use one core only; the benches need two");
  }
  return Cores{.measuring = found[0], .other = found[1]};
}

absl::Status StartLine::Meet() {
  arrived_.fetch_add(1, std::memory_order_acq_rel);
  const uint64_t deadline_ticks = NowTicks() + TicksOf(kSetUpSeconds);
  const bool met =
      SpinUntil(deadline_ticks, [this] { return arrived_.load(std::memory_order_acquire) >= 2; });
  return met ? absl::OkStatus() : absl::DeadlineExceededError("the other side did not get ready");
}

void DieWith(pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(1);
}

absl::StatusOr<Sample> RunTrial(const TrialSettings& settings, const MeasuringSide& measuring,
                                const OtherSide& other) {
  absl::StatusOr<SharedMemory> memory = SharedMemory::Create(sizeof(TrialMemory));
  if (!memory.ok()) return memory.status();
  NsPerTick();
  auto& shared = *new (memory->base()) TrialMemory();

  Child other_child(settings.cores.other, shared.other, [&]() -> absl::StatusOr<Sample> {
    absl::Status status = other(shared.start_line);
    if (!status.ok()) return status;
    return Sample{};
  });
  Child measuring_child(settings.cores.measuring, shared.measuring,
                        [&] { return measuring(shared.start_line); });
  if (!other_child.started() || !measuring_child.started()) {
    return absl::ErrnoToStatus(errno, "cannot start a process");
  }
  WaitForAll(2 * settings.seconds + kPatienceSeconds + kSetUpSeconds, measuring_child, other_child);

  const absl::StatusOr<Sample> other_result = other_child.Result("other side");
  absl::StatusOr<Sample> result = measuring_child.Result("measuring side");
  // Who failed for a reason of its own says more than who waited in vain for the other.
  if (!other_result.ok() && (result.ok() || !measuring_child.reaped())) return other_result.status();
  if (!other_result.ok()) {
    return absl::InternalError(
        absl::StrCat(result.status().message(), "; ", other_result.status().message()));
  }
  return result;
}

absl::StatusOr<Sample> RunAlone(const TrialSettings& settings,
                                const std::function<absl::StatusOr<Sample>()>& measuring) {
  absl::StatusOr<SharedMemory> memory = SharedMemory::Create(sizeof(TrialMemory));
  if (!memory.ok()) return memory.status();
  NsPerTick();
  auto& shared = *new (memory->base()) TrialMemory();
  Child child(settings.cores.measuring, shared.measuring, measuring);
  if (!child.started()) return absl::ErrnoToStatus(errno, "cannot start a process");
  WaitForAll(2 * settings.seconds + kSetUpSeconds, child);
  return child.Result("measuring side");
}

}  // namespace pylabhub::bench
