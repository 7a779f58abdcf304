#include "tests/bench/control/watch_bench.h"

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_format.h"
#include "tests/bench/control/time_calls.h"
#include "tests/bench/control/watch_streams.h"
#include "tests/bench/control/watched_name.h"

namespace pylabhub::bench {
namespace {

constexpr int kConnections = 100;
constexpr int kStreamsAConnection = 10;
constexpr size_t kFewest = 9;

}  // namespace

absl::Status MeasureWatching(DirectorySubject& subject, const RoundSettings& settings, Recorder& recorder) {
  const std::optional<WatchedName> watched = subject.Watched();
  if (!watched.has_value()) return absl::OkStatus();
  WatchStreams streams(*watched, kConnections, kStreamsAConnection);
  if (absl::Status status = streams.AwaitBeginning(); !status.ok()) return status;
  std::vector<double> times;
  const Clock::time_point end = NowPlus(settings.seconds);
  while (times.size() < kFewest || Clock::now() < end) {
    const std::string mark = absl::StrFormat("mark%04d%08d", settings.round, times.size());
    streams.Begin(mark);
    const Clock::time_point begin = Clock::now();
    if (absl::Status status = watched->publish(mark); !status.ok()) return status;
    const absl::StatusOr<Clock::time_point> told = streams.Await();
    if (!told.ok()) return told.status();
    times.push_back(std::chrono::duration<double, std::nano>(*told - begin).count());
  }
  recorder.Add("watch.1000", subject.name(), "ns", Quantile(times, 0.5));
  return absl::OkStatus();
}

}  // namespace pylabhub::bench
