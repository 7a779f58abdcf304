// Between the wire's messages and the registry's values, field by field. Nothing is checked here: validate.h
// does.
//
// Thread safety: free functions with no shared state.
#ifndef PYLABHUB_BROKER_CONVERT_H_
#define PYLABHUB_BROKER_CONVERT_H_

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "broker/channel_registry.h"
#include "broker/channel_types.h"
#include "proto/pylabhub/v1/admin.pb.h"
#include "proto/pylabhub/v1/broker.pb.h"

namespace pylabhub::broker {

ChannelSpec FromProto(const v1::ChannelSpec& spec);
ConsumerSpec FromProto(const v1::ConsumerRegisterRequest& request);
std::vector<SessionClaims> FromProto(const v1::HeartbeatRequest& request);

v1::Channel ToProto(const ChannelView& channel, bool include_schema);
v1::Consumer ToProto(const ConsumerView& consumer);
v1::SessionStatus ToProto(const SessionStatus& status);

// With as many of its channels and consumers as fit into `max_bytes`.
v1::Session ToProto(const SessionView& session, size_t max_bytes);

google::protobuf::Duration ToProto(absl::Duration duration);
google::protobuf::Timestamp ToProto(absl::Time time);

// A place among the names, as an opaque page token; and back. The name is empty if the token is not one of
// ours.
std::string PageTokenAfter(absl::string_view name);
std::string NameOfPageToken(absl::string_view token);

// The same among numbers, which are not 0. 0 if the token is not one of ours.
std::string PageTokenAfter(uint64_t number);
uint64_t NumberOfPageToken(absl::string_view token);

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_CONVERT_H_
