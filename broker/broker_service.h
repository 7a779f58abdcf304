// pylabhub.v1.Broker over a Directory: each handler converts, asks the registry, converts back. What each
// call means is told in proto/pylabhub/v1/broker.proto, and decided in channel_registry.h.
//
// Thread safety: thread-safe; gRPC calls it from many threads.
#ifndef PYLABHUB_BROKER_BROKER_SERVICE_H_
#define PYLABHUB_BROKER_BROKER_SERVICE_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

#include "absl/strings/string_view.h"
#include "broker/broker_info.h"
#include "broker/call_gate.h"
#include "broker/directory.h"
#include "broker/log_hook.h"
#include "broker/peer_identity.h"
#include "proto/pylabhub/v1/broker.grpc.pb.h"

namespace pylabhub::broker {

class BrokerService final : public v1::Broker::Service {
 public:
  // `directory` outlives the service.
  BrokerService(Directory& directory, BrokerInfo info, LogHook log);

  // Refuses new calls with SHUTTING_DOWN, and waits for those in progress, at most for `grace`.
  void Drain(absl::Duration grace) { gate_.Close(grace); }

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
  grpc::Status Watch(grpc::ServerContext* context, const v1::WatchRequest* request,
                     grpc::ServerWriter<v1::WatchResponse>* writer) override;
  grpc::Status GetBrokerInfo(grpc::ServerContext* context, const v1::GetBrokerInfoRequest* request,
                             v1::GetBrokerInfoResponse* response) override;

 private:
  // Answers a read: `body(identity)` is run for a caller with an identity, and its status put on the wire.
  template <typename Body>
  grpc::Status Answer(grpc::ServerContext& context, Body body);

  // The same for a call that changes something: who, what and with what result goes to the log.
  template <typename Body>
  grpc::Status AnswerAndAudit(grpc::ServerContext& context, absl::string_view method,
                              absl::string_view channel, absl::string_view session_id, Body body);

  Directory& directory_;
  const BrokerInfo info_;
  const LogHook log_;
  PeerIdentifier identifier_;
  CallGate gate_;
};

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_BROKER_SERVICE_H_
