#include "broker/call_metrics.h"

#include <google/protobuf/descriptor.h>

#include "proto/pylabhub/v1/admin.pb.h"
#include "proto/pylabhub/v1/broker.pb.h"
#include "proto/pylabhub/v1/schema_registry.pb.h"

namespace pylabhub::broker {

CallMetrics::CallMetrics(Metrics& metrics) : metrics_(metrics) {
  for (const google::protobuf::FileDescriptor* file :
       {v1::RegisterRequest::descriptor()->file(), v1::RegisterSchemaRequest::descriptor()->file(),
        v1::DrainRequest::descriptor()->file()}) {
    for (int s = 0; s < file->service_count(); ++s) {
      for (int m = 0; m < file->service(s)->method_count(); ++m) {
        const std::string& name = file->service(s)->method(m)->name();
        methods_[name].duration_seconds =
            &metrics.AddHistogram("pylabhub_broker_call_duration_seconds",
                                  "Time from a call's arrival at its handler to its answer.",
                                  {{"method", name}}, Metrics::LatencyBounds());
      }
    }
  }
}

void CallMetrics::Record(absl::string_view method, absl::StatusCode code, absl::Duration duration) {
  const auto found = methods_.find(method);
  const auto index = static_cast<size_t>(code);
  if (found == methods_.end() || index >= kCodeCount) return;
  Method& counted = found->second;
  counted.duration_seconds->Observe(absl::ToDoubleSeconds(duration));
  // Acquire and release: who sees the counter sees it made. Two threads that make it at once get the same.
  prometheus::Counter* calls = counted.calls[index].load(std::memory_order_acquire);
  if (calls == nullptr) {
    calls = &metrics_.AddCounter("pylabhub_broker_calls_total", "Calls answered, by method and gRPC code.",
                                 {{"method", found->first}, {"code", absl::StatusCodeToString(code)}});
    counted.calls[index].store(calls, std::memory_order_release);
  }
  calls->Increment();
}

}  // namespace pylabhub::broker
