// grpc.health.v1.Health of one server. gRPC's own is switched on for a whole process, which an embedded
// broker must not do to its host, and has no descriptor for reflection.
//
// Known services: "" (the server as a whole) and those given at construction; all have the same status.
//
// Thread safety: thread-safe.
#ifndef PYLABHUB_BROKER_HEALTH_SERVICE_H_
#define PYLABHUB_BROKER_HEALTH_SERVICE_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>
#include <grpcpp/support/sync_stream.h>

#include <condition_variable>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "proto/grpc/health/v1/health.grpc.pb.h"

namespace pylabhub::broker {

class HealthService final : public grpc::health::v1::Health::Service {
 public:
  explicit HealthService(std::vector<std::string> services) : services_(std::move(services)) {}

  // From now on every service is NOT_SERVING, and Watch streams end after they said so.
  void Shutdown();

  grpc::Status Check(grpc::ServerContext* context, const grpc::health::v1::HealthCheckRequest* request,
                     grpc::health::v1::HealthCheckResponse* response) override;
  // Each stream occupies a thread of the server, so there are at most a few at a time; RESOURCE_EXHAUSTED
  // beyond.
  grpc::Status Watch(grpc::ServerContext* context, const grpc::health::v1::HealthCheckRequest* request,
                     grpc::ServerWriter<grpc::health::v1::HealthCheckResponse>* writer) override;

 private:
  bool Knows(const std::string& service) const;
  void AwaitShutdownOrCancellation(const grpc::ServerContext& context);

  const std::vector<std::string> services_;
  absl::Mutex mutex_;
  std::condition_variable_any stopping_;
  bool serving_ ABSL_GUARDED_BY(mutex_) = true;
  int watcher_count_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_HEALTH_SERVICE_H_
