// pylabhub.v1.Broker over a Directory: each handler converts, asks the registry, converts back. What each
// call means is told in proto/pylabhub/v1/broker.proto, and decided in channel_registry.h. Watch is served beside it,
// by WatchServer.
//
// Thread safety: thread-safe; gRPC calls it from many threads.
#ifndef PYLABHUB_BROKER_BROKER_SERVICE_H_
#define PYLABHUB_BROKER_BROKER_SERVICE_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "broker/access/access_control.h"
#include "broker/broker_info.h"
#include "broker/call_desk.h"
#include "broker/directory.h"
#include "broker/handover/hand_over_desk.h"
#include "broker/schema_directory.h"
#include "broker/watch_loop.h"
#include "proto/pylabhub/v1/broker.grpc.pb.h"

namespace pylabhub::broker {

class BrokerService final : public WatchableService {
 public:
  // What is referred to outlives the service. `hand_over` null: memory is not handed over.
  BrokerService(Directory& directory, SchemaDirectory& schemas, CallDesk& desk, const AccessControl& access,
                BrokerInfo info, HandOverDesk* hand_over = nullptr);

  grpc::Status Register(grpc::ServerContext* context, const v1::RegisterRequest* request,
                        v1::RegisterResponse* response) override;
  grpc::Status Discover(grpc::ServerContext* context, const v1::DiscoverRequest* request,
                        v1::DiscoverResponse* response) override;
  grpc::Status Deregister(grpc::ServerContext* context, const v1::DeregisterRequest* request,
                          v1::DeregisterResponse* response) override;
  grpc::Status ConsumerRegister(grpc::ServerContext* context, const v1::ConsumerRegisterRequest* request,
                                v1::ConsumerRegisterResponse* response) override;
  grpc::Status ConsumerDeregister(grpc::ServerContext* context, const v1::ConsumerDeregisterRequest* request,
                                  v1::ConsumerDeregisterResponse* response) override;
  grpc::Status Heartbeat(grpc::ServerContext* context, const v1::HeartbeatRequest* request,
                         v1::HeartbeatResponse* response) override;
  grpc::Status ListChannels(grpc::ServerContext* context, const v1::ListChannelsRequest* request,
                            v1::ListChannelsResponse* response) override;
  grpc::Status GetBrokerInfo(grpc::ServerContext* context, const v1::GetBrokerInfoRequest* request,
                             v1::GetBrokerInfoResponse* response) override;

 private:
  // As CallDesk does it, with the channel and the session's beginning in the log.
  grpc::Status AnswerAndAudit(grpc::ServerContext& context, absl::string_view method,
                              const std::string& channel, const std::string& session_id,
                              absl::FunctionRef<absl::Status(const Caller&)> body);

  // The part of a registration that changes the directory, for a caller that may: asked again if the policy has changed since
  // `rights` were asked for, since what a new policy denies is ended once.
  template <typename Call>
  absl::StatusOr<ChannelView> RunIfAllowed(const CallerRights& rights, policy::Action action,
                                           const Caller& caller, const std::string& channel, Call call);
  // Looks a batch or a single name up, for a caller that may.
  std::vector<absl::StatusOr<ChannelView>> FindAll(const std::vector<std::string>& names,
                                                   const CallerRights& rights,
                                                   const std::string& expected_schema_hash,
                                                   uint64_t& revision);

  // A page of what the caller may see.
  ChannelPage ListVisible(ListQuery query, const CallerRights& rights, uint64_t& revision);

  // Registers the channel, and its schema, if it is stated, under the channel's name.
  absl::StatusOr<ChannelView> RegisterWithSchema(const v1::RegisterRequest& request, const Caller& caller);
  // A refusal with the difference to the schema that `request` states in words, if it is about schemas.
  template <typename Request>
  absl::Status Explain(const absl::Status& status, const Request& request) const;
  bool HandsOver(const ChannelView& channel) const {
    return hand_over_ != nullptr && HandOverDesk::Concerns(channel);
  }

  Directory& directory_;
  SchemaDirectory& schemas_;
  CallDesk& desk_;
  const AccessControl& access_;
  const BrokerInfo info_;
  HandOverDesk* const hand_over_;
};

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_BROKER_SERVICE_H_
