#include "broker/metrics_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <prometheus/exposer.h>

#include <exception>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace pylabhub::broker {
namespace {

struct HostAndPort {
  std::string host;
  int port;
};

absl::StatusOr<HostAndPort> Split(const std::string& address) {
  const size_t colon = address.rfind(':');
  HostAndPort split = {.host = address.substr(0, colon), .port = 0};
  in_addr ignored = {};
  // Debian's civetweb, which answers, is built without IPv6.
  if (colon == std::string::npos || !absl::SimpleAtoi(address.substr(colon + 1), &split.port) ||
      split.port < 0 || split.port > 65535 || inet_pton(AF_INET, split.host.c_str(), &ignored) != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("the metrics address \"", address,
                     "\" is no IPv4 address with a port; write for instance 127.0.0.1:9464"));
  }
  return split;
}

bool IsLoopback(const std::string& host) {
  in_addr address = {};
  return inet_pton(AF_INET, host.c_str(), &address) == 1 && (ntohl(address.s_addr) >> 24) == 127;
}

}  // namespace

absl::StatusOr<std::unique_ptr<MetricsServer>> MetricsServer::Start(const std::string& address,
                                                                    bool allow_remote,
                                                                    const Metrics& metrics) {
  const auto split = Split(address);
  if (!split.ok()) return split.status();
  if (!allow_remote && !IsLoopback(split->host)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the metrics address ", address,
                     " can be reached from other hosts, and whoever reaches it may read; use "
                     "127.0.0.1, or allow it (--metrics-allow-remote, or metrics { allow_remote: true })"));
  }
  // The library tells errors by exceptions.
  try {
    auto exposer = std::make_unique<prometheus::Exposer>(address, /*num_threads=*/2);
    exposer->RegisterCollectable(metrics.counted());
    exposer->RegisterCollectable(metrics.read());
    const std::vector<int> ports = exposer->GetListeningPorts();
    const int port = ports.empty() ? split->port : ports[0];
    return std::unique_ptr<MetricsServer>(new MetricsServer(
        std::move(exposer), absl::StrCat(address.substr(0, address.rfind(':')), ":", port)));
  } catch (const std::exception& error) {
    return absl::UnavailableError(absl::StrCat("cannot answer metrics on ", address, ": ", error.what(),
                                               "; perhaps the port is taken: choose another (0 takes any)"));
  }
}

MetricsServer::MetricsServer(std::unique_ptr<prometheus::Exposer> exposer, std::string address)
    : exposer_(std::move(exposer)), address_(std::move(address)) {}

MetricsServer::~MetricsServer() = default;

}  // namespace pylabhub::broker
