#include "broker/unimplemented_services.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "broker/grpc_status.h"
#include "broker/refusal.h"

namespace pylabhub::broker {

grpc::Status NotImplemented(absl::string_view method) {
  return ToGrpcStatus(
      Refuse(Reason::kNotImplemented,
             absl::StrCat("this broker does not implement ", method, "; GetBrokerInfo lists what it does"),
             {{"method", std::string(method)}}));
}

grpc::Status UnimplementedAdmin::CloseChannel(grpc::ServerContext*, const v1::CloseChannelRequest*,
                                              v1::CloseChannelResponse*) {
  return NotImplemented("/pylabhub.v1.Admin/CloseChannel");
}

grpc::Status UnimplementedAdmin::ListSessions(grpc::ServerContext*, const v1::ListSessionsRequest*,
                                              v1::ListSessionsResponse*) {
  return NotImplemented("/pylabhub.v1.Admin/ListSessions");
}

grpc::Status UnimplementedAdmin::Drain(grpc::ServerContext*, const v1::DrainRequest*, v1::DrainResponse*) {
  return NotImplemented("/pylabhub.v1.Admin/Drain");
}

}  // namespace pylabhub::broker
