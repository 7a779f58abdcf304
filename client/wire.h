// Between the client's plain values and the messages of the wire API.
//
// Thread safety: free functions with no shared state.
#ifndef PYLABHUB_CLIENT_WIRE_H_
#define PYLABHUB_CLIENT_WIRE_H_

#include <grpcpp/support/status.h>

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/broker_types.h"
#include "proto/google/rpc/status.pb.h"
#include "proto/pylabhub/v1/broker.grpc.pb.h"
#include "proto/pylabhub/v1/schema_registry.grpc.pb.h"

namespace pylabhub {

v1::RegisterRequest ToWire(const std::string& session_id, const ChannelSpec& channel, bool force);
v1::ConsumerRegisterRequest ToWire(const std::string& session_id, const ConsumerSpec& consumer);
v1::WatchRequest ToWire(const WatchRequest& request);
v1::HeartbeatRequest ToWire(const std::string& session_id, const Claims& claims);
// kInvalidArgument: the text is not canonical, or has no field of which values are named.
absl::StatusOr<v1::RegisterSchemaRequest> ToWire(const std::string& name, const std::string& schema_text,
                                                 const EnumNames& enum_names);

Channel FromWire(const v1::Channel& channel);
Grant FromWire(const v1::RegisterResponse& response);
Grant FromWire(const v1::ConsumerRegisterResponse& response);
BrokerInfo FromWire(const v1::GetBrokerInfoResponse& response);
ChannelPage FromWire(const v1::ListChannelsResponse& response);
WatchBatch FromWire(const v1::WatchResponse& response);
SchemaVersion FromWire(const v1::SchemaVersion& version);
SchemaPage FromWire(const v1::ListSchemasResponse& response);
SchemaComparison FromWire(const v1::CheckSchemaCompatibilityResponse& response);
// `response` answers one session.
HeartbeatReport FromWire(const v1::HeartbeatResponse& response);

// With the reason, its metadata and the retry delay attached, where the broker sent google.rpc details.
absl::Status FromWire(const grpc::Status& status);
absl::Status FromWire(const google::rpc::Status& status);

}  // namespace pylabhub

#endif  // PYLABHUB_CLIENT_WIRE_H_
