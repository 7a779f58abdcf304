#include "broker/schema_registry_service.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "broker/convert.h"
#include "broker/directory.h"
#include "broker/refusal.h"
#include "broker/schema_compatibility.h"
#include "broker/schema_convert.h"
#include "broker/validate.h"
#include "proto/schema/canonical.h"

namespace pylabhub::broker {
namespace {

// A caller's gRPC takes 4 MiB in one message; what does not fit below this is left to another page.
constexpr size_t kMaxResponseBytes = 3 << 20;
constexpr int kDefaultPageSize = 100;
constexpr int kMaxPageSize = 1000;

constexpr char kNameRule[] = "must match [a-z0-9._-]{1,128}, for instance \"sensor.temperature\"";

absl::Status Check(const v1::RegisterSchemaRequest& request) {
  if (!v1::Compatibility_IsValid(request.required_compatibility())) {
    return RefuseFields({{"required_compatibility", "must be a Compatibility that this broker knows"}});
  }
  if (absl::Status status = ValidateSchema(request.schema(), "schema"); !status.ok()) return status;
  const std::string hash = schema::HashOf(request.schema());
  if (request.schema_hash().empty() || request.schema_hash() == hash) return absl::OkStatus();
  return RefuseFields({{"schema_hash", absl::StrCat("must be empty, or the hash of schema, ",
                                                    absl::BytesToHexString(hash))}});
}

absl::Status Check(const v1::GetSchemaRequest& request) {
  if (request.name().empty() == request.schema_hash().empty()) {
    return RefuseFields({{"name", "exactly one of `name` and `schema_hash` must be set"}});
  }
  if (request.name().empty()) {
    if (request.version() != 0) return RefuseFields({{"version", "must be 0 unless `name` is set"}});
    if (request.schema_hash().size() != kSchemaHashBytes) {
      return RefuseFields({{"schema_hash", "must be exactly 32 bytes"}});
    }
    return absl::OkStatus();
  }
  return IsChannelName(request.name()) ? absl::OkStatus() : RefuseFields({{"name", kNameRule}});
}

absl::Status ReadQuery(const v1::ListSchemasRequest& request, SchemaQuery& query) {
  std::vector<FieldViolation> violations;
  if (request.page_size() < 0) violations.push_back({"page_size", "must not be negative"});
  if (!request.name().empty() && !IsChannelName(request.name())) violations.push_back({"name", kNameRule});
  query.name = request.name();
  query.page_size = request.page_size() == 0 ? kDefaultPageSize : std::min(request.page_size(), kMaxPageSize);
  if (!request.page_token().empty()) {
    // A version's number is a name too, so that one kind of token serves both lists.
    query.after_name = NameOfPageToken(request.page_token());
    const bool holds = query.name.empty() ? !query.after_name.empty()
                                          : absl::SimpleAtoi(query.after_name, &query.after_version);
    if (!holds) violations.push_back({"page_token", "must be next_page_token of the page before, or empty"});
  }
  return RefuseFields(violations);
}

}  // namespace

grpc::Status SchemaRegistryService::RegisterSchema(grpc::ServerContext* context,
                                                   const v1::RegisterSchemaRequest* request,
                                                   v1::RegisterSchemaResponse* response) {
  return desk_.AnswerAndAudit(
      *context, "RegisterSchema", {{"schema", request->name()}}, [&](const PeerIdentity& peer) {
        const CallerRights rights = access_.RightsOf(peer.name);
        for (const policy::Action action : {policy::Action::kSchema, policy::Action::kRegister}) {
          if (absl::Status status = rights.Check(action, request->name()); !status.ok()) return status;
        }
        if (absl::Status status = Check(*request); !status.ok()) return status;
        const auto registration = schemas_.Register(request->name(), request->schema(), peer.name,
                                                    request->required_compatibility(), SteadyNow());
        if (!registration.ok()) return registration.status();
        *response->mutable_schema_version() = ToProto(*registration->record, /*include_schema=*/false);
        response->set_created(registration->created);
        return absl::OkStatus();
      });
}

absl::StatusOr<SchemaRecordPtr> SchemaRegistryService::FindReadable(const v1::GetSchemaRequest& request,
                                                                    const CallerRights& rights) const {
  if (!request.name().empty()) {
    absl::Status status = rights.Check(policy::Action::kSchema, request.name());
    if (!status.ok()) return status;
  }
  return schemas_.Read([&](const SchemaBook& book) -> absl::StatusOr<SchemaRecordPtr> {
    if (!request.name().empty()) return book.Find(request.name(), request.version());
    absl::StatusOr<SchemaRecordPtr> found = book.FindByHash(request.schema_hash());
    if (!found.ok() || rights.May(policy::Action::kSchema, (*found)->name)) return found;
    return RefuseUnknownSchemaHash(request.schema_hash());
  });
}

grpc::Status SchemaRegistryService::GetSchema(grpc::ServerContext* context,
                                              const v1::GetSchemaRequest* request,
                                              v1::GetSchemaResponse* response) {
  return desk_.Answer(*context, "GetSchema", [&](const PeerIdentity& peer) {
    if (absl::Status status = Check(*request); !status.ok()) return status;
    const absl::StatusOr<SchemaRecordPtr> record = FindReadable(*request, access_.RightsOf(peer.name));
    if (!record.ok()) return record.status();
    *response->mutable_schema_version() = ToProto(**record, /*include_schema=*/true);
    return absl::OkStatus();
  });
}

SchemaPage SchemaRegistryService::ListReadable(SchemaQuery query, const CallerRights& rights) const {
  const size_t page_size = query.page_size;
  SchemaPage readable;
  while (true) {
    SchemaPage page = schemas_.Read([&](const SchemaBook& book) { return book.List(query); });
    for (SchemaRecordPtr& record : page.records) {
      query.after_name = record->name;
      query.after_version = record->version;
      if (!rights.May(policy::Action::kSchema, record->name)) continue;
      // One more: there is a further page.
      readable.has_more = readable.records.size() == page_size;
      if (readable.has_more) return readable;
      readable.records.push_back(std::move(record));
    }
    if (!page.has_more) return readable;
  }
}

grpc::Status SchemaRegistryService::ListSchemas(grpc::ServerContext* context,
                                                const v1::ListSchemasRequest* request,
                                                v1::ListSchemasResponse* response) {
  return desk_.Answer(*context, "ListSchemas", [&](const PeerIdentity& peer) {
    SchemaQuery query;
    if (absl::Status status = ReadQuery(*request, query); !status.ok()) return status;
    const CallerRights rights = access_.RightsOf(peer.name);
    if (!query.name.empty()) {
      if (absl::Status status = rights.Check(policy::Action::kSchema, query.name); !status.ok())
        return status;
    }
    const SchemaPage page = ListReadable(std::move(query), rights);
    bool has_more = page.has_more;
    size_t bytes = 0;
    for (const SchemaRecordPtr& record : page.records) {
      *response->add_schema_versions() = ToProto(*record, request->include_schema());
      bytes += response->schema_versions().rbegin()->ByteSizeLong();
      has_more = has_more || bytes > kMaxResponseBytes;
      if (bytes > kMaxResponseBytes) break;
    }
    if (has_more) {
      const v1::SchemaVersion& last = *response->schema_versions().rbegin();
      response->set_next_page_token(
          PageTokenAfter(request->name().empty() ? last.name() : absl::StrCat(last.version())));
    }
    return absl::OkStatus();
  });
}

grpc::Status SchemaRegistryService::CheckSchemaCompatibility(
    grpc::ServerContext* context, const v1::CheckSchemaCompatibilityRequest* request,
    v1::CheckSchemaCompatibilityResponse* response) {
  return desk_.Answer(*context, "CheckSchemaCompatibility", [&](const PeerIdentity& peer) {
    if (!IsChannelName(request->name())) return RefuseFields({{"name", kNameRule}});
    absl::Status allowed = access_.RightsOf(peer.name).Check(policy::Action::kSchema, request->name());
    if (!allowed.ok()) return allowed;
    if (absl::Status status = ValidateSchema(request->schema(), "schema"); !status.ok()) return status;
    const absl::StatusOr<SchemaRecordPtr> record =
        schemas_.Read([&](const SchemaBook& book) { return book.Find(request->name(), request->version()); });
    if (!record.ok()) return record.status();
    SchemaComparison comparison = Compare(*(*record)->schema, request->schema());
    response->set_compatibility(comparison.compatibility);
    for (SchemaDifference& found : comparison.differences) {
      *response->add_differences() = std::move(found.difference);
    }
    *response->mutable_compared_with() = ToProto(**record, /*include_schema=*/false);
    return absl::OkStatus();
  });
}

}  // namespace pylabhub::broker
