// pylabhub.v1.Admin: what an operator may do to a broker. What each call means is told in
// proto/pylabhub/v1/admin.proto.
//
// Thread safety: thread-safe; gRPC calls it from many threads.
#ifndef PYLABHUB_BROKER_ADMIN_SERVICE_H_
#define PYLABHUB_BROKER_ADMIN_SERVICE_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "broker/access/access_control.h"
#include "broker/call_desk.h"
#include "broker/directory.h"
#include "broker/peer_identity.h"
#include "proto/pylabhub/v1/admin.grpc.pb.h"

namespace pylabhub::broker {

class AdminService final : public v1::Admin::Service {
 public:
  // `drain` begins the broker's end: watchers' streams end after the time that it is given. What is referred to outlives the
  // service.
  AdminService(Directory& directory, CallDesk& desk, const AccessControl& access,
               std::function<void(absl::Duration)> drain);

  grpc::Status CloseChannel(grpc::ServerContext* context, const v1::CloseChannelRequest* request,
                            v1::CloseChannelResponse* response) override;
  grpc::Status ListSessions(grpc::ServerContext* context, const v1::ListSessionsRequest* request,
                            v1::ListSessionsResponse* response) override;
  grpc::Status Drain(grpc::ServerContext* context, const v1::DrainRequest* request,
                     v1::DrainResponse* response) override;

 private:
  // `channel`: empty for what is about the whole broker.
  //
  // Errors:
  //   POLICY_DENIED  the caller is no administrator, or not of that channel
  absl::Status CheckMay(const PeerIdentity& peer, const std::string& channel) const;

  Directory& directory_;
  CallDesk& desk_;
  const AccessControl& access_;
  const std::function<void(absl::Duration)> drain_;
};

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_ADMIN_SERVICE_H_
