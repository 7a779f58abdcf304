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

grpc::Status UnimplementedSchemaRegistry::RegisterSchema(grpc::ServerContext*,
                                                         const v1::RegisterSchemaRequest*,
                                                         v1::RegisterSchemaResponse*) {
  return NotImplemented("/pylabhub.v1.SchemaRegistry/RegisterSchema");
}

grpc::Status UnimplementedSchemaRegistry::GetSchema(grpc::ServerContext*, const v1::GetSchemaRequest*,
                                                    v1::GetSchemaResponse*) {
  return NotImplemented("/pylabhub.v1.SchemaRegistry/GetSchema");
}

grpc::Status UnimplementedSchemaRegistry::ListSchemas(grpc::ServerContext*, const v1::ListSchemasRequest*,
                                                      v1::ListSchemasResponse*) {
  return NotImplemented("/pylabhub.v1.SchemaRegistry/ListSchemas");
}

grpc::Status UnimplementedSchemaRegistry::CheckSchemaCompatibility(grpc::ServerContext*,
                                                                   const v1::CheckSchemaCompatibilityRequest*,
                                                                   v1::CheckSchemaCompatibilityResponse*) {
  return NotImplemented("/pylabhub.v1.SchemaRegistry/CheckSchemaCompatibility");
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
