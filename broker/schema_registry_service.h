// pylabhub.v1.SchemaRegistry over a SchemaDirectory: each handler converts, asks the book, converts back. What
// each call means is told in proto/pylabhub/v1/schema_registry.proto, and decided in schema_book.h.
//
// Thread safety: thread-safe; gRPC calls it from many threads.
#ifndef PYLABHUB_BROKER_SCHEMA_REGISTRY_SERVICE_H_
#define PYLABHUB_BROKER_SCHEMA_REGISTRY_SERVICE_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

#include "broker/access/access_control.h"
#include "broker/call_desk.h"
#include "broker/schema_directory.h"
#include "proto/pylabhub/v1/schema_registry.grpc.pb.h"

namespace pylabhub::broker {

class SchemaRegistryService final : public v1::SchemaRegistry::Service {
 public:
  // What is referred to outlives the service.
  SchemaRegistryService(SchemaDirectory& schemas, CallDesk& desk, const AccessControl& access)
      : schemas_(schemas), desk_(desk), access_(access) {}

  grpc::Status RegisterSchema(grpc::ServerContext* context, const v1::RegisterSchemaRequest* request,
                              v1::RegisterSchemaResponse* response) override;
  grpc::Status GetSchema(grpc::ServerContext* context, const v1::GetSchemaRequest* request,
                         v1::GetSchemaResponse* response) override;
  grpc::Status ListSchemas(grpc::ServerContext* context, const v1::ListSchemasRequest* request,
                           v1::ListSchemasResponse* response) override;
  grpc::Status CheckSchemaCompatibility(grpc::ServerContext* context,
                                        const v1::CheckSchemaCompatibilityRequest* request,
                                        v1::CheckSchemaCompatibilityResponse* response) override;

 private:
  // The schema by name or by hash, if the caller may read it. One that it may not read is not found by its hash, so that a hash
  // does not tell whether somebody uses it.
  absl::StatusOr<SchemaRecordPtr> FindReadable(const v1::GetSchemaRequest& request,
                                               const CallerRights& rights) const;
  // A page of what the caller may read.
  SchemaPage ListReadable(SchemaQuery query, const CallerRights& rights) const;

  SchemaDirectory& schemas_;
  CallDesk& desk_;
  const AccessControl& access_;
};

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_SCHEMA_REGISTRY_SERVICE_H_
