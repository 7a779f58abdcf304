#include "tests/bench/control/greedy_neighbour.h"

#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/tls/certificate_set.h"
#include "tests/bench/control/time_calls.h"

namespace pylabhub::bench {
namespace {

constexpr char kGreedy[] = "greedy";
constexpr int kThreads = 8;
constexpr std::chrono::milliseconds kPause{3};
constexpr int kLowestPriority = 19;

BrokerProcess::Options OptionsFor(BrokerProcess::Options options, const std::string& name,
                                  const std::string& limits) {
  options.state_folder += "." + name;
  options.limits = limits;
  return options;
}

BrokerProcess::Options WithGreedyIdentity(const BrokerProcess::Options& options) {
  const absl::Status issued =
      tls::IssueInto(options.certificates_folder, kGreedy, tls::ClientSpec("spiffe://pylabhub.local/greedy"));
  if (!issued.ok()) {
    std::cerr << "error: " << issued << std::endl;
    std::exit(2);
  }
  return options;
}

grpc::Status Ask(BrokerClient& client) {
  grpc::ClientContext context;
  v1::DiscoverRequest request;
  v1::DiscoverResponse response;
  request.set_name("nothing");
  return client.stub().Discover(&context, request, &response);
}

// Calls as fast as it is answered, for as long as it lives; does not mind being refused.
class Greedy {
 public:
  explicit Greedy(const BrokerProcess& broker)
      : client_(broker.target(), broker.certificates_folder(), kGreedy) {
    for (int i = 0; i < kThreads; ++i) {
      threads_.emplace_back([this] {
        setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), kLowestPriority);
        while (!stop_) Ask(client_);
      });
    }
  }
  ~Greedy() {
    stop_ = true;
    for (std::thread& thread : threads_) thread.join();
  }
  Greedy(const Greedy&) = delete;
  Greedy& operator=(const Greedy&) = delete;

 private:
  BrokerClient client_;
  std::atomic<bool> stop_ = false;
  std::vector<std::thread> threads_;
};

absl::StatusOr<double> MedianOfLookups(const BrokerProcess& broker, double seconds) {
  BrokerClient modest(broker.target(), broker.certificates_folder());
  std::vector<double> times;
  const Clock::time_point end = NowPlus(seconds);
  while (times.empty() || Clock::now() < end) {
    std::this_thread::sleep_for(kPause);
    const Clock::time_point begin = Clock::now();
    const grpc::Status status = Ask(modest);
    // The answer to the question: there is no such channel.
    if (status.error_code() != grpc::StatusCode::NOT_FOUND)
      return absl::UnavailableError("the modest client was refused: " + status.error_message());
    times.push_back(NsSince(begin));
  }
  return Quantile(times, 0.5);
}

}  // namespace

GreedyNeighbour::GreedyNeighbour(const BrokerProcess::Options& options)
    : shipped_(OptionsFor(WithGreedyIdentity(options), "shipped", "")),
      limited_(OptionsFor(options, "limited",
                          "calls_per_second_per_identity: 500 call_burst_per_identity: 500")) {}

absl::Status GreedyNeighbour::Measure(const RoundSettings& settings, Recorder& recorder) {
  absl::Status status = MeasureOn(shipped_, "fairness", settings, recorder);
  if (status.ok()) status = MeasureOn(limited_, "fairness.limited", settings, recorder);
  return status;
}

absl::Status GreedyNeighbour::MeasureOn(const BrokerProcess& broker, const std::string& bench,
                                        const RoundSettings& settings, Recorder& recorder) {
  const absl::StatusOr<double> alone = MedianOfLookups(broker, settings.seconds);
  if (!alone.ok()) return alone.status();
  const Greedy greedy(broker);
  const absl::StatusOr<double> beside = MedianOfLookups(broker, settings.seconds);
  if (!beside.ok()) return beside.status();
  recorder.Add(bench, "alone", "ns", *alone);
  recorder.Add(bench, "pylabhub", "ns", *beside);
  return absl::OkStatus();
}

}  // namespace pylabhub::bench
