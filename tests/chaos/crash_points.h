// What a process does at the crash points that it passes: it counts them where its parent sees it, and may be told to
// end, or to do something else, at one passing of one of them.
//
// Thread safety: for processes with one thread.
#ifndef PYLABHUB_TESTS_CHAOS_CRASH_POINTS_H_
#define PYLABHUB_TESTS_CHAOS_CRASH_POINTS_H_

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "tests/chaos/ledger.h"

namespace pylabhub::chaos {

// The names of all points in the sources, sorted. `files` are paths of sources; empty if one cannot be read.
std::vector<std::string> PointsIn(const std::vector<std::string>& files);

// How often each point was passed, by its index.
struct Passings {
  static constexpr size_t kMaxPoints = 512;
  Cell<uint32_t> count[kMaxPoints];
};

// What to do at the `passing`-th passing (from 1) of a point.
struct AtPoint {
  std::string point;
  uint32_t passing;
  std::function<void()> action;
};

// From now on this process counts what it passes in `passings`, which must outlive it, and does what it is told. A point
// that is not among `points` ends the process with that message: then the list of sources is not complete.
void WatchCrashPoints(const std::vector<std::string>& points, Passings& passings, std::vector<AtPoint> plan);

enum class Death : uint8_t {
  kKill,         // SIGKILL
  kAbort,        // SIGABRT
  kForkThenDie,  // SIGKILL, while a child that was forked at that very moment lives on
};
inline constexpr Death kDeaths[] = {Death::kKill, Death::kAbort, Death::kForkThenDie};
const char* NameOf(Death death);

// Ends this process. A child that lives on is written to `orphan`, for somebody to end.
[[noreturn]] void Die(Death death, Cell<pid_t>& orphan);

}  // namespace pylabhub::chaos

#endif  // PYLABHUB_TESTS_CHAOS_CRASH_POINTS_H_
