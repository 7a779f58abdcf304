#include "tests/bench/control/storm_bench.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "client/messenger.h"
#include "tests/bench/control/broker_client.h"
#include "tests/bench/control/names.h"
#include "tests/bench/control/time_calls.h"

namespace pylabhub::bench {
namespace {

constexpr size_t kClients = 1000;
constexpr size_t kThreads = 16;
constexpr std::chrono::milliseconds kLook{2};
constexpr double kPatienceSeconds = 120;

using Messengers = std::vector<std::unique_ptr<Messenger>>;

// Calls `call` with each of 0 to kClients - 1, from kThreads threads. The first failure, if there is one.
absl::Status ForEachClient(const std::function<absl::Status(size_t)>& call) {
  std::atomic<size_t> next = 0;
  std::mutex mutex;
  absl::Status failure = absl::OkStatus();
  std::vector<std::thread> threads;
  for (size_t k = 0; k < kThreads; ++k) {
    threads.emplace_back([&] {
      for (size_t i = next++; i < kClients; i = next++) {
        absl::Status status = call(i);
        const std::lock_guard lock(mutex);
        failure.Update(status);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return failure;
}

absl::Status MeasureHandshakes(const BrokerProcess& broker, Recorder& recorder) {
  std::vector<std::unique_ptr<BrokerClient>> clients;
  // None of them connects before its first call.
  for (size_t i = 0; i < kClients; ++i)
    clients.push_back(std::make_unique<BrokerClient>(broker.target(), broker.certificates_folder()));
  const Clock::time_point begin = Clock::now();
  absl::Status status = ForEachClient([&](size_t i) { return clients[i]->Heartbeat({SessionOf(i)}); });
  if (status.ok()) recorder.Add("storm.1000", "handshakes", "ns", NsSince(begin));
  return status;
}

absl::Status Join(const BrokerProcess& broker, Messengers& messengers) {
  messengers.resize(kClients);
  return ForEachClient([&](size_t i) -> absl::Status {
    absl::StatusOr<std::unique_ptr<Messenger>> messenger =
        Messenger::Connect({.address = broker.target(), .certificates_folder = broker.certificates_folder()});
    if (!messenger.ok()) return messenger.status();
    messengers[i] = *std::move(messenger);
    const std::string name = NameOf(i);
    absl::StatusOr<Grant> grant = messengers[i]->RegisterProducer({.name = name, .segment_id = {1}}).get();
    if (grant.ok()) grant = messengers[i]->RegisterConsumer({.channel = name}).get();
    if (grant.ok() && !messengers[i]->AwaitDirectory(absl::Seconds(30)))
      return absl::DeadlineExceededError("the directory did not become fresh");
    return grant.status();
  });
}

std::vector<uint64_t> StreamsOf(const Messengers& messengers) {
  std::vector<uint64_t> streams;
  for (const auto& messenger : messengers) streams.push_back(messenger->metrics().watch_streams);
  return streams;
}

// Waits until every Messenger has a stream after those of `before`, and is up to date.
absl::Status AwaitAll(const Messengers& messengers, const std::vector<uint64_t>& before) {
  const Clock::time_point end = NowPlus(kPatienceSeconds);
  for (size_t i = 0; i < messengers.size(); ++i) {
    const auto is_back = [&] {
      const MessengerMetrics metrics = messengers[i]->metrics();
      return metrics.directory_is_fresh && metrics.watch_streams > before[i];
    };
    while (!is_back()) {
      if (Clock::now() > end) return absl::DeadlineExceededError(absl::StrCat("client ", i, " is not back"));
      std::this_thread::sleep_for(kLook);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<uint64_t>> EpochsOfAll(const BrokerProcess& broker) {
  BrokerClient client(broker.target(), broker.certificates_folder());
  std::vector<std::string> names;
  for (size_t i = 0; i < kClients; ++i) names.push_back(NameOf(i));
  return client.Epochs(names);
}

absl::Status MeasureReturn(BrokerProcess& broker, Messengers& messengers, Recorder& recorder) {
  const absl::StatusOr<std::vector<uint64_t>> before = EpochsOfAll(broker);
  if (!before.ok()) return before.status();
  const std::vector<uint64_t> streams = StreamsOf(messengers);
  broker.Kill();
  broker.Start();
  const Clock::time_point begin = Clock::now();
  if (absl::Status status = AwaitAll(messengers, streams); !status.ok()) return status;
  recorder.Add("storm.1000", "pylabhub", "ns", NsSince(begin));
  const absl::StatusOr<std::vector<uint64_t>> after = EpochsOfAll(broker);
  if (!after.ok()) return after.status();
  size_t lost = 0;
  for (size_t i = 0; i < kClients; ++i) lost += (*before)[i] != 0 && (*before)[i] == (*after)[i] ? 0 : 1;
  recorder.Add("storm.1000.lost", "pylabhub", "channels", static_cast<double>(lost));
  return absl::OkStatus();
}

}  // namespace

absl::Status MeasureStorm(BrokerProcess::Options options, Recorder& recorder) {
  options.lease_ttl = "10s";
  BrokerProcess broker(std::move(options));
  if (absl::Status status = MeasureHandshakes(broker, recorder); !status.ok()) return status;
  Messengers messengers;
  absl::Status status = Join(broker, messengers);
  if (status.ok()) status = MeasureReturn(broker, messengers, recorder);
  // Each gives up what it has, which takes it a while.
  status.Update(ForEachClient([&](size_t i) {
    messengers[i].reset();
    return absl::OkStatus();
  }));
  return status;
}

}  // namespace pylabhub::bench
