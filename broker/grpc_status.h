// A domain error on the wire: a gRPC code, and a google.rpc.Status with ErrorInfo, RetryInfo and BadRequest.
//
// Thread safety: free functions with no shared state.
#ifndef PYLABHUB_BROKER_GRPC_STATUS_H_
#define PYLABHUB_BROKER_GRPC_STATUS_H_

#include <grpcpp/support/status.h>

#include "absl/status/status.h"
#include "proto/google/rpc/status.pb.h"

namespace pylabhub::broker {

// `status` with its refusal's details packed. A status that is no refusal keeps its code and message.
google::rpc::Status ToRpcStatus(const absl::Status& status);

// The same as a call's outcome; the details travel in the trailer `grpc-status-details-bin`.
grpc::Status ToGrpcStatus(const absl::Status& status);

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_GRPC_STATUS_H_
