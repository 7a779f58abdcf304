#include "tests/bench/control/warm_lookups.h"

#include <memory>
#include <random>
#include <vector>

#include "absl/status/statusor.h"
#include "client/messenger.h"
#include "tests/bench/control/names.h"
#include "tests/bench/control/time_calls.h"

namespace pylabhub::bench {

absl::Status MeasureWarmLookups(const std::string& target, const std::string& certificates_folder,
                                const RoundSettings& settings, Recorder& recorder) {
  const absl::StatusOr<std::unique_ptr<Messenger>> messenger =
      Messenger::Connect({.address = target,
                          .certificates_folder = certificates_folder,
                          .messenger = {.watch = WatchScope::Everything()}});
  if (!messenger.ok()) return messenger.status();
  if (!(*messenger)->AwaitDirectory(absl::Seconds(30)))
    return absl::DeadlineExceededError("the directory did not become fresh");
  std::vector<std::string> names;
  for (int i = 0; i < settings.names; ++i) names.push_back(NameOf(static_cast<uint64_t>(i)));
  std::mt19937_64 random(static_cast<uint64_t>(settings.round));
  const auto times = TimeCalls(NowPlus(settings.seconds), [&] {
    return (*messenger)->DiscoverProducer(names[random() % names.size()], absl::ZeroDuration()).status();
  });
  if (!times.ok()) return times.status();
  if ((*messenger)->metrics().directory_misses != 0)
    return absl::FailedPreconditionError("warm lookups were not answered from memory");
  recorder.Add("discover.warm", "pylabhub", "ns", Quantile(*times, 0.5));
  return absl::OkStatus();
}

}  // namespace pylabhub::bench
