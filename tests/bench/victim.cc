#include "tests/bench/victim.h"

#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <random>

#include "absl/strings/str_cat.h"
#include "tests/bench/child.h"
#include "tests/bench/clock.h"

namespace pylabhub::bench {
namespace {

constexpr long kNapNs = 500'000;
constexpr long kLongestRandomNapNs = 20'000'000;

void Nap(long ns) {
  const timespec nap = {.tv_sec = 0, .tv_nsec = ns};
  nanosleep(&nap, nullptr);
}

}  // namespace

Victim::Victim(const std::function<void()>& body) {
  const pid_t parent = getpid();
  std::fflush(nullptr);
  pid_ = fork();
  if (pid_ != 0) return;
  DieWith(parent);
  body();
  _exit(1);
}

Victim::~Victim() {
  if (pid_ > 0) Kill();
}

uint64_t Victim::Kill() {
  const uint64_t killed_ticks = NowTicks();
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  pid_ = -1;
  return killed_ticks;
}

absl::Status NapUntil(double patience_seconds, const char* what, const std::function<bool()>& ready) {
  const uint64_t deadline_ticks = NowTicks() + TicksOf(patience_seconds);
  while (!ready()) {
    if (NowTicks() > deadline_ticks) return absl::DeadlineExceededError(absl::StrCat(what, " did not come"));
    Nap(kNapNs);
  }
  return absl::OkStatus();
}

void NapForARandomTime() {
  std::random_device entropy;
  Nap(std::uniform_int_distribution<long>(0, kLongestRandomNapNs)(entropy));
}

}  // namespace pylabhub::bench
