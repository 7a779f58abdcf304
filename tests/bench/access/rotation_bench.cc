// What it costs that certificates change: a hundred rotations of the server's certificate, one after the other, while clients call
// over a connection that stands, and others connect anew for each call. Beside the same calls with no rotation.
//
//   tests/bench/run.sh --suite access
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "proto/pylabhub/v1/broker.grpc.pb.h"
#include "tests/access/lab.h"

namespace pylabhub {
namespace {

constexpr int kRotations = 100;

bool Call(const std::shared_ptr<grpc::Channel>& channel) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  v1::GetBrokerInfoResponse response;
  return v1::Broker::NewStub(channel)->GetBrokerInfo(&context, {}, &response).ok();
}

struct Rates {
  double standing_calls = 0;  // a second
  double connections = 0;     // a second, with one call each
  int failures = 0;
};

// Of clients that call for as long as `work` takes.
template <typename Work>
Rates RatesDuring(testing::Lab& lab, Work work) {
  std::atomic<bool> done = false;
  std::atomic<int> calls = 0;
  std::atomic<int> connections = 0;
  std::atomic<int> failures = 0;
  const absl::Time start = absl::Now();
  std::thread standing([&] {
    const auto channel = lab.Connect(lab.Client("standing"));
    while (!done) ++(Call(channel) ? calls : failures);
  });
  std::thread connecting([&] {
    const tls::TlsFiles files = lab.Client("connecting");
    while (!done) ++(Call(lab.Connect(files)) ? connections : failures);
  });
  work();
  done = true;
  standing.join();
  connecting.join();
  const double seconds = absl::ToDoubleSeconds(absl::Now() - start);
  return {.standing_calls = calls / seconds, .connections = connections / seconds, .failures = failures};
}

int Run() {
  testing::Lab lab;
  std::vector<tls::Credential> servers;
  for (int i = 0; i < kRotations; ++i) servers.push_back(testing::NewServer(lab.authority()));
  double rotation_millis = 0;
  const absl::Time start = absl::Now();
  const Rates rotating = RatesDuring(lab, [&] {
    for (const tls::Credential& server : servers) {
      lab.Write(server);
      if (!lab.broker().Reload().ok()) std::exit(2);
    }
    rotation_millis = absl::ToDoubleMilliseconds(absl::Now() - start) / kRotations;
  });
  const absl::Duration time = absl::Now() - start;
  const Rates quiet = RatesDuring(lab, [&] { absl::SleepFor(time); });
  std::printf("%-34s %10s %14s\n", "bench", "rotating", "no rotation");
  std::printf("%-34s %10.0f %14.0f /s\n", "calls over a connection that stands", rotating.standing_calls,
              quiet.standing_calls);
  std::printf("%-34s %10.0f %14.0f /s\n", "connections, with a call each", rotating.connections,
              quiet.connections);
  std::printf("%-34s %10.2f %14s ms (files written, checked, published)\n", "a rotation", rotation_millis,
              "-");
  const int failures = rotating.failures + quiet.failures;
  std::printf("  target failed calls in %d rotations == 0: %d %s\n", kRotations, failures,
              failures == 0 ? "ok" : "MISSED");
  return failures == 0 ? 0 : 1;
}

}  // namespace
}  // namespace pylabhub

int main() { return pylabhub::Run(); }
