// Counts the calls of every method of pylabhub.v1, by their code, and how long they took.
//
// Thread safety: thread-safe.
#ifndef PYLABHUB_BROKER_CALL_METRICS_H_
#define PYLABHUB_BROKER_CALL_METRICS_H_

#include <array>
#include <atomic>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "broker/metrics.h"

namespace pylabhub::broker {

class CallMetrics {
 public:
  // `metrics` outlives this.
  explicit CallMetrics(Metrics& metrics);

  // `method` without its service: "Register". One that no service has is not counted.
  void Record(absl::string_view method, absl::StatusCode code, absl::Duration duration);

 private:
  static constexpr size_t kCodeCount = 17;

  struct Method {
    prometheus::Histogram* duration_seconds = nullptr;
    // Made when the code is first seen.
    std::array<std::atomic<prometheus::Counter*>, kCodeCount> calls = {};
  };

  Metrics& metrics_;
  // Filled by the constructor, and only read afterwards.
  std::map<std::string, Method, std::less<>> methods_;
};

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_CALL_METRICS_H_
