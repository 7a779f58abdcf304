#include "tests/bench/control/idle_connections.h"

#include <memory>
#include <vector>

#include "tests/bench/control/broker_client.h"

namespace pylabhub::bench {
namespace {

// The first ones make the broker's threads and buffers, which are no connection's.
constexpr int kFirst = 50;
constexpr int kMeasured = 500;

absl::Status Connect(const BrokerProcess& broker, int count,
                     std::vector<std::unique_ptr<BrokerClient>>& clients) {
  for (int i = 0; i < count; ++i) {
    clients.push_back(std::make_unique<BrokerClient>(broker.target(), broker.certificates_folder()));
    if (absl::Status status = clients.back()->Heartbeat({SessionOf(0)}); !status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status MeasureIdleConnections(const BrokerProcess::Options& options, Recorder& recorder) {
  const BrokerProcess broker(options);
  std::vector<std::unique_ptr<BrokerClient>> clients;
  if (absl::Status status = Connect(broker, kFirst, clients); !status.ok()) return status;
  const double before_bytes = broker.server().PrivateBytes();
  if (absl::Status status = Connect(broker, kMeasured, clients); !status.ok()) return status;
  recorder.Add("memory.connection", "pylabhub", "bytes",
               (broker.server().PrivateBytes() - before_bytes) / kMeasured);
  return absl::OkStatus();
}

}  // namespace pylabhub::bench
