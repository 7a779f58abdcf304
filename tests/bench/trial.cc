#include "tests/bench/trial.h"

#include <poll.h>
#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <deque>
#include <new>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/bench/child.h"
#include "tests/bench/clock.h"
#include "tests/bench/shared_memory.h"

namespace pylabhub::bench {
namespace {

// Time to open channels; iceoryx connects its ports only every 100 ms.
constexpr double kSetUpSeconds = 10;

struct TrialMemory {
  StartLine start_line;
  struct alignas(128) Line {
    Report report;
  };
  Line reports[kMaxSides] = {};
};

// Waits until all have ended, one has failed and the others had a second to say why too, or the time is up.
// Sleeps all the while: the parent must not take time from the children's cores.
void WaitForAll(double patience_seconds, std::deque<Child>& children) {
  uint64_t deadline_ticks = NowTicks() + TicksOf(patience_seconds);
  for (;;) {
    std::vector<pollfd> ends;
    for (const Child& child : children) ends.push_back({.fd = child.pidfd(), .events = POLLIN, .revents = 0});
    const bool all_reaped =
        std::all_of(children.begin(), children.end(), [](const Child& child) { return child.reaped(); });
    const uint64_t now_ticks = NowTicks();
    if (all_reaped || now_ticks >= deadline_ticks) return;

    const double left_ns = static_cast<double>(deadline_ticks - now_ticks) * NsPerTick();
    if (poll(ends.data(), ends.size(), static_cast<int>(left_ns / 1e6) + 1) < 0 && errno != EINTR) return;
    for (size_t i = 0; i < ends.size(); ++i) {
      if (ends[i].revents != 0) children[i].Reap();
    }
    const bool failed = std::any_of(children.begin(), children.end(),
                                    [](const Child& child) { return child.reaped() && !child.succeeded(); });
    if (failed) deadline_ticks = std::min(deadline_ticks, NowTicks() + TicksOf(1));
  }
}

// What each returned, or what went wrong. Who failed for a reason of its own says more than who hangs because of
// that.
absl::StatusOr<std::vector<Sample>> Outcome(const std::deque<Child>& children) {
  std::vector<Sample> samples;
  std::string failures;
  std::string hanging;
  for (const Child& child : children) {
    samples.push_back(child.sample());
    if (child.succeeded()) continue;
    std::string& list = child.hangs() ? hanging : failures;
    absl::StrAppend(&list, list.empty() ? "" : "; ", child.Failure());
  }
  if (!failures.empty()) return absl::InternalError(failures);
  if (!hanging.empty()) return absl::DeadlineExceededError(hanging);
  return samples;
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
  const uint32_t before = arrived_.fetch_add(1, std::memory_order_acq_rel);
  const uint32_t all = (before / sides_ + 1) * sides_;
  const uint64_t deadline_ticks = NowTicks() + TicksOf(kSetUpSeconds);
  // Yields, since sides may share a core.
  while (arrived_.load(std::memory_order_acquire) < all) {
    if (NowTicks() > deadline_ticks) return absl::DeadlineExceededError("another side did not get ready");
    sched_yield();
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Sample>> RunSides(const TrialSettings& settings, const std::vector<Side>& sides) {
  absl::StatusOr<SharedMemory> memory = SharedMemory::Create(sizeof(TrialMemory));
  if (!memory.ok()) return memory.status();
  NsPerTick();
  auto& shared = *new (memory->base()) TrialMemory{StartLine(static_cast<uint32_t>(sides.size()))};

  std::deque<Child> children;  // which does not move them
  for (size_t i = 0; i < sides.size(); ++i) {
    const Side& side = sides[i];
    children.emplace_back(side.name, side.core, shared.reports[i].report,
                          [&] { return side.run(shared.start_line); });
    if (!children.back().started()) return absl::ErrnoToStatus(errno, "cannot start a process");
  }
  WaitForAll(2 * settings.seconds + kPatienceSeconds + kSetUpSeconds, children);
  return Outcome(children);
}

absl::StatusOr<Sample> RunTrial(const TrialSettings& settings, const std::vector<Side>& sides) {
  const absl::StatusOr<std::vector<Sample>> samples = RunSides(settings, sides);
  if (!samples.ok()) return samples.status();
  return samples->front();
}

absl::StatusOr<Sample> RunTrial(const TrialSettings& settings, const MeasuringSide& measuring,
                                const OtherSide& other) {
  const auto run_other = [&](StartLine& start_line) -> absl::StatusOr<Sample> {
    absl::Status status = other(start_line);
    if (!status.ok()) return status;
    return Sample{};
  };
  return RunTrial(settings, {{"measuring side", settings.cores.measuring, measuring},
                             {"other side", settings.cores.other, run_other}});
}

absl::StatusOr<Sample> RunAlone(const TrialSettings& settings,
                                const std::function<absl::StatusOr<Sample>()>& measuring) {
  return RunTrial(settings,
                  {{"measuring side", settings.cores.measuring, [&](StartLine&) { return measuring(); }}});
}

}  // namespace pylabhub::bench
