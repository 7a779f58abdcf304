#include "shm/channel/wait.h"

#include <unistd.h>

#include <algorithm>

namespace pylabhub::shm {
namespace {

// With one processor whoever spins keeps the one it waits for from running. The machine's count, not this
// process's own: who is pinned to a core usually has a peer on another, and pins itself in order to spin.
bool HasOneProcessor() { return sysconf(_SC_NPROCESSORS_ONLN) == 1; }

// Far enough for every use, near enough that sums do not overflow.
constexpr absl::Duration kForever = absl::Hours(24 * 365 * 100);

Wait::Clock::duration ToClock(absl::Duration duration) {
  return absl::ToChronoNanoseconds(std::clamp(duration, absl::ZeroDuration(), kForever));
}

}  // namespace

Wait::Wait(const WaitOptions& options, absl::Duration timeout)
    : start_(Clock::now()),
      deadline_(start_ + ToClock(timeout)),
      spin_(ToClock(options.spin)),
      may_sleep_(options.spin < kForever) {
  static const bool one_processor = HasOneProcessor();
  if (!one_processor) return;
  spin_ = Clock::duration::zero();
  may_sleep_ = true;
}

Wait::Clock::time_point Wait::SpinEnd() const {
  const Clock::time_point now = Clock::now();
  return std::min(deadline_, now + std::min<Clock::duration>(spin_, kLivenessInterval));
}

absl::Duration Wait::SleepTime(bool first) const {
  const Clock::duration slice = first ? Clock::duration(kFirstSleep) : liveness_interval();
  return absl::FromChrono(std::min(slice, std::max(deadline_ - Clock::now(), Clock::duration::zero())));
}

}  // namespace pylabhub::shm
