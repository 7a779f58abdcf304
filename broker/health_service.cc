#include "broker/health_service.h"

#include <algorithm>

#include "absl/time/time.h"
#include "broker/steady_wait.h"

namespace pylabhub::broker {
namespace {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

constexpr int kMaxWatchers = 8;
// How soon a stream's thread notices that its client has gone: synchronous gRPC tells nobody.
constexpr absl::Duration kCancelCheckInterval = absl::Seconds(1);

}  // namespace

void HealthService::Shutdown() {
  {
    absl::MutexLock lock(&mutex_);
    serving_ = false;
  }
  stopping_.notify_all();
}

grpc::Status HealthService::Check(grpc::ServerContext*, const HealthCheckRequest* request,
                                  HealthCheckResponse* response) {
  if (!Knows(request->service()))
    return {grpc::StatusCode::NOT_FOUND, "no such service: " + request->service()};
  absl::MutexLock lock(&mutex_);
  response->set_status(serving_ ? HealthCheckResponse::SERVING : HealthCheckResponse::NOT_SERVING);
  return grpc::Status::OK;
}

grpc::Status HealthService::Watch(grpc::ServerContext* context, const HealthCheckRequest* request,
                                  grpc::ServerWriter<HealthCheckResponse>* writer) {
  const bool is_known = Knows(request->service());
  HealthCheckResponse response;
  {
    absl::MutexLock lock(&mutex_);
    if (watcher_count_ >= kMaxWatchers) {
      return {grpc::StatusCode::RESOURCE_EXHAUSTED, "too many streams watch this server's health; use Check"};
    }
    ++watcher_count_;
    response.set_status(serving_ ? HealthCheckResponse::SERVING : HealthCheckResponse::NOT_SERVING);
  }
  if (!is_known) response.set_status(HealthCheckResponse::SERVICE_UNKNOWN);
  writer->Write(response);
  AwaitShutdownOrCancellation(*context);
  if (response.status() == HealthCheckResponse::SERVING) {
    response.set_status(HealthCheckResponse::NOT_SERVING);
    writer->Write(response);
  }
  return {grpc::StatusCode::UNAVAILABLE, "the server is shutting down"};
}

void HealthService::AwaitShutdownOrCancellation(const grpc::ServerContext& context) {
  absl::MutexLock lock(&mutex_);
  const auto stopped = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return !serving_; };
  while (!AwaitSteadily(mutex_, stopping_, kCancelCheckInterval, stopped) && !context.IsCancelled()) {
  }
  --watcher_count_;
}

bool HealthService::Knows(const std::string& service) const {
  return service.empty() || std::find(services_.begin(), services_.end(), service) != services_.end();
}

}  // namespace pylabhub::broker
