// What a greedy client costs another: the latency of one modest client's calls, alone, and beside one that calls as fast
// as eight threads can, with no limit of its rate and with one.
//
//   bazel run --config=opt //tests/bench/control:greedy_client
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <memory>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "proto/pylabhub/v1/broker.grpc.pb.h"
#include "tests/support/test_broker.h"

namespace pylabhub::broker {
namespace {

constexpr absl::Duration kMeasured = absl::Seconds(3);
constexpr int kGreedyThreads = 8;
constexpr uint64_t kLimitedCallsPerSecond = 500;

grpc::Status Discover(v1::Broker::Stub& stub) {
  grpc::ClientContext context;
  v1::DiscoverRequest request;
  request.set_name("nothing");
  v1::DiscoverResponse response;
  return stub.Discover(&context, request, &response);
}

std::unique_ptr<v1::Broker::Stub> ClientOf(const EmbeddedBroker& broker,
                                           const testing::TestAuthority& authority, const char* identity) {
  return v1::Broker::NewStub(testing::ConnectWith(broker.target(), authority.Client(identity)));
}

// Calls as fast as it can; when it is refused, it waits as long as it is told, or not at all.
void CallGreedily(v1::Broker::Stub& stub, bool obeys, const std::atomic<bool>& stop,
                  std::atomic<int>& answered) {
  while (!stop) {
    const grpc::Status status = Discover(stub);
    if (status.error_code() == grpc::StatusCode::NOT_FOUND) ++answered;
    if (status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED && obeys)
      absl::SleepFor(absl::Milliseconds(10));
  }
}

void Measure(const char* name, bool has_greedy, bool obeys, uint64_t calls_per_second) {
  const testing::TestAuthority authority;
  BrokerOptions options;
  options.registry.limits.max_calls_per_second_per_identity = calls_per_second;
  options.registry.limits.max_call_burst_per_identity = std::max<uint64_t>(calls_per_second, 1);
  const auto broker = testing::StartTestBroker(authority, options);
  const auto modest = ClientOf(*broker, authority, "modest");
  for (int i = 0; i < 100; ++i) Discover(*modest);
  const auto greedy = ClientOf(*broker, authority, "greedy");
  std::atomic<bool> stop = false;
  std::atomic<int> greedy_answers = 0;
  std::vector<std::thread> threads;
  for (int i = 0; has_greedy && i < kGreedyThreads; ++i) {
    threads.emplace_back([&] { CallGreedily(*greedy, obeys, stop, greedy_answers); });
  }
  std::vector<absl::Duration> latencies;
  const absl::Time end_time = absl::Now() + kMeasured;
  while (absl::Now() < end_time) {
    const absl::Time start_time = absl::Now();
    Discover(*modest);
    latencies.push_back(absl::Now() - start_time);
    absl::SleepFor(absl::Milliseconds(5));
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  std::sort(latencies.begin(), latencies.end());
  std::printf("%-44s modest p50 %5.0f us, p99 %6.0f us; greedy %6.0f calls/s\n", name,
              absl::ToDoubleMicroseconds(latencies[latencies.size() / 2]),
              absl::ToDoubleMicroseconds(latencies[latencies.size() * 99 / 100]),
              greedy_answers / absl::ToDoubleSeconds(kMeasured));
}

}  // namespace
}  // namespace pylabhub::broker

int main() {
  using pylabhub::broker::kLimitedCallsPerSecond;
  using pylabhub::broker::Measure;
  Measure("alone", false, false, 0);
  Measure("beside a greedy one, no limit", true, false, 0);
  Measure("beside a greedy one, held to 500 calls/s", true, true, kLimitedCallsPerSecond);
  Measure("the same, but it ignores when to come back", true, false, kLimitedCallsPerSecond);
  return 0;
}
