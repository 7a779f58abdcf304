#include "broker/grpc_status.h"

#include <string>

#include "absl/time/time.h"
#include "broker/refusal.h"
#include "proto/google/rpc/error_details.pb.h"

namespace pylabhub::broker {
namespace {

constexpr char kDomain[] = "pylabhub";

google::rpc::ErrorInfo ErrorInfoOf(const RefusalDetails& details) {
  google::rpc::ErrorInfo info;
  info.set_reason(details.reason);
  info.set_domain(kDomain);
  for (const auto& [key, value] : details.metadata) (*info.mutable_metadata())[key] = value;
  return info;
}

google::rpc::RetryInfo RetryInfoOf(absl::Duration delay) {
  google::rpc::RetryInfo retry;
  const int64_t seconds = absl::IDivDuration(delay, absl::Seconds(1), &delay);
  retry.mutable_retry_delay()->set_seconds(seconds);
  retry.mutable_retry_delay()->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(delay)));
  return retry;
}

google::rpc::BadRequest BadRequestOf(const RefusalDetails& details) {
  google::rpc::BadRequest bad_request;
  for (const FieldViolation& violation : details.field_violations) {
    auto* field = bad_request.add_field_violations();
    field->set_field(violation.field);
    field->set_description(violation.description);
  }
  return bad_request;
}

}  // namespace

google::rpc::Status ToRpcStatus(const absl::Status& status) {
  google::rpc::Status rpc_status;
  // absl's codes are gRPC's.
  rpc_status.set_code(static_cast<int>(status.code()));
  rpc_status.set_message(std::string(status.message()));
  const auto details = DetailsOf(status);
  if (!details.has_value()) return rpc_status;
  rpc_status.add_details()->PackFrom(ErrorInfoOf(*details));
  if (details->retry_delay.has_value()) {
    rpc_status.add_details()->PackFrom(RetryInfoOf(*details->retry_delay));
  }
  if (!details->field_violations.empty()) rpc_status.add_details()->PackFrom(BadRequestOf(*details));
  return rpc_status;
}

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  const google::rpc::Status rpc_status = ToRpcStatus(status);
  return grpc::Status(static_cast<grpc::StatusCode>(rpc_status.code()), rpc_status.message(),
                      rpc_status.SerializeAsString());
}

}  // namespace pylabhub::broker
