// Answers Prometheus: GET /metrics over plain HTTP. It has no TLS and asks nobody who they are, so it listens on loopback
// unless it is told otherwise.
//
// Thread safety: thread-safe.
#ifndef PYLABHUB_BROKER_METRICS_SERVER_H_
#define PYLABHUB_BROKER_METRICS_SERVER_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "broker/metrics.h"

namespace prometheus {
class Exposer;
}  // namespace prometheus

namespace pylabhub::broker {

class MetricsServer {
 public:
  // `address` is an IPv4 address with a port, "127.0.0.1:9464"; port 0 takes any that is free. `metrics`, and what it reads, outlive
  // the server.
  //
  // Errors:
  //   kInvalidArgument  `address` is no such thing, or is not loopback and !allow_remote
  //   kUnavailable      nothing can listen there
  static absl::StatusOr<std::unique_ptr<MetricsServer>> Start(const std::string& address, bool allow_remote,
                                                              const Metrics& metrics);

  // Returns when no scrape is being answered any more.
  ~MetricsServer();

  // With the port that is bound.
  const std::string& address() const { return address_; }

 private:
  MetricsServer(std::unique_ptr<prometheus::Exposer> exposer, std::string address);

  const std::unique_ptr<prometheus::Exposer> exposer_;
  const std::string address_;
};

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_METRICS_SERVER_H_
