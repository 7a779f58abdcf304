#include "tests/chaos/crash_points.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "shm/os/crash_point.h"

namespace pylabhub::chaos {
namespace {

// An orphan that nobody ends does so itself.
constexpr unsigned kOrphanSeconds = 60;

struct Watch {
  std::unordered_map<std::string_view, size_t> index_of;
  Passings* passings = nullptr;
  std::vector<AtPoint> plan;
};

// Never destroyed: points are passed until the process is gone.
Watch* watch = nullptr;

void Pass(const char* point) {
  const auto found = watch->index_of.find(point);
  if (found == watch->index_of.end()) {
    std::fprintf(stderr, "crash point %s is in no source that was looked at\n", point);
    std::abort();
  }
  const uint32_t passing = watch->passings->count[found->second].add(1) + 1;
  for (const AtPoint& at : watch->plan) {
    if (at.passing == passing && at.point == point) at.action();
  }
}

}  // namespace

std::vector<std::string> PointsIn(const std::vector<std::string>& files) {
  constexpr std::string_view kOpening = "PYLABHUB_CRASH_POINT(\"";
  std::vector<std::string> points;
  for (const std::string& path : files) {
    std::ifstream file(path);
    if (!file) return {};
    const std::string text(std::istreambuf_iterator<char>(file), {});
    for (size_t at = text.find(kOpening); at != std::string::npos; at = text.find(kOpening, at)) {
      at += kOpening.size();
      points.push_back(text.substr(at, text.find('"', at) - at));
    }
  }
  std::sort(points.begin(), points.end());
  points.erase(std::unique(points.begin(), points.end()), points.end());
  return points;
}

void WatchCrashPoints(const std::vector<std::string>& points, Passings& passings, std::vector<AtPoint> plan) {
  if (points.size() > Passings::kMaxPoints) std::abort();
  watch = new Watch;
  for (size_t i = 0; i < points.size(); ++i) watch->index_of.emplace(points[i], i);
  watch->passings = &passings;
  watch->plan = std::move(plan);
  shm::SetCrashHook(&Pass);
}

const char* NameOf(Death death) {
  switch (death) {
    case Death::kKill:
      return "kill";
    case Death::kAbort:
      return "abort";
    case Death::kForkThenDie:
      return "fork_then_die";
  }
  return "";
}

void Die(Death death, Cell<pid_t>& orphan) {
  if (death == Death::kAbort) std::abort();
  if (death == Death::kForkThenDie) {
    if (fork() == 0) {
      alarm(kOrphanSeconds);
      orphan.store(getpid());
      for (;;) pause();
    }
    // fork() itself gives the child the parent's locks, until it has closed what it got.
    while (orphan.load() == 0) usleep(20);
  }
  kill(getpid(), SIGKILL);
  for (;;) pause();
}

}  // namespace pylabhub::chaos
