// The services that are published and not built yet: they are listed by reflection, and say so when they are
// called.
#ifndef PYLABHUB_BROKER_UNIMPLEMENTED_SERVICES_H_
#define PYLABHUB_BROKER_UNIMPLEMENTED_SERVICES_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

#include "absl/strings/string_view.h"
#include "proto/pylabhub/v1/admin.grpc.pb.h"

namespace pylabhub::broker {

// UNIMPLEMENTED, reason NOT_IMPLEMENTED. `method` is the full name, "/pylabhub.v1.Admin/Drain".
grpc::Status NotImplemented(absl::string_view method);

class UnimplementedAdmin final : public v1::Admin::Service {
 public:
  grpc::Status CloseChannel(grpc::ServerContext*, const v1::CloseChannelRequest*,
                            v1::CloseChannelResponse*) override;
  grpc::Status ListSessions(grpc::ServerContext*, const v1::ListSessionsRequest*,
                            v1::ListSessionsResponse*) override;
  grpc::Status Drain(grpc::ServerContext*, const v1::DrainRequest*, v1::DrainResponse*) override;
};

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_UNIMPLEMENTED_SERVICES_H_
