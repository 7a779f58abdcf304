#include "tests/bench/control/restart_bench.h"

#include <algorithm>
#include <cstdint>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "tests/bench/control/broker_client.h"
#include "tests/bench/control/names.h"
#include "tests/bench/control/time_calls.h"

namespace pylabhub::bench {
namespace {

constexpr uint64_t kChannels = 100'000;
constexpr uint64_t kChannelsASession = 10;
constexpr uint64_t kSessionsInACall = 1000;
constexpr uint64_t kWriters = 64;
constexpr uint64_t kLookedAt = 1000;
constexpr int kRestarts = 3;

absl::Status Fill(BrokerClient& client) {
  std::mutex mutex;
  absl::Status failure = absl::OkStatus();
  std::vector<std::thread> writers;
  for (uint64_t k = 0; k < kWriters; ++k) {
    writers.emplace_back([&, k] {
      absl::Status status = absl::OkStatus();
      for (uint64_t i = k; i < kChannels && status.ok(); i += kWriters)
        status = client.Register(SessionOf(i / kChannelsASession), NameOf(i));
      const std::lock_guard lock(mutex);
      failure.Update(status);
    });
  }
  for (std::thread& writer : writers) writer.join();
  for (uint64_t first = 0; first < kChannels / kChannelsASession && failure.ok(); first += kSessionsInACall) {
    std::vector<std::string> sessions;
    for (uint64_t i = first; i < first + kSessionsInACall; ++i) sessions.push_back(SessionOf(i));
    failure = client.Heartbeat(sessions);
  }
  return failure;
}

absl::Status LookAtSome(const BrokerProcess& broker) {
  BrokerClient client(broker.target(), broker.certificates_folder());
  std::vector<std::string> names;
  for (uint64_t i = 0; i < kLookedAt; ++i) names.push_back(NameOf(i * (kChannels / kLookedAt)));
  const absl::StatusOr<std::vector<uint64_t>> epochs = client.Epochs(names);
  if (!epochs.ok()) return epochs.status();
  const auto missing = std::count(epochs->begin(), epochs->end(), 0u);
  if (missing == 0 && epochs->size() == kLookedAt) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(missing, " of ", kLookedAt, " channels are gone after restarts"));
}

}  // namespace

absl::Status MeasureRestart(BrokerProcess::Options options, Recorder& recorder) {
  options.limits = absl::StrCat("channels: ", kChannels, " channels_per_identity: ", kChannels,
                                " calls_per_second_per_identity: 0");
  options.log_level = "warning";
  BrokerProcess broker(std::move(options));
  {
    BrokerClient client(broker.target(), broker.certificates_folder());
    if (absl::Status status = Fill(client); !status.ok()) return status;
  }
  for (int i = 0; i < kRestarts; ++i) {
    broker.Kill();
    const Clock::time_point begin = Clock::now();
    broker.Start();
    BrokerClient client(broker.target(), broker.certificates_folder());
    if (absl::Status status = client.Discover(NameOf(kChannels / 2)); !status.ok()) return status;
    recorder.Add("restart.100k", "pylabhub", "ns", NsSince(begin));
  }
  return LookAtSome(broker);
}

}  // namespace pylabhub::bench
