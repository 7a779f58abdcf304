#include "broker/schema_directory.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "broker/refusal.h"
#include "broker/registry_state.h"
#include "broker/schema_compatibility.h"
#include "broker/schema_convert.h"
#include "broker/validate.h"
#include "proto/schema/canonical.h"

namespace pylabhub::broker {
namespace {

constexpr char kSchemaKeyPrefix[] = "schema/";

bool KnowsTypesOf(const google::protobuf::RepeatedPtrField<v1::Field>& fields) {
  return std::all_of(fields.begin(), fields.end(), [](const v1::Field& field) {
    return v1::FieldType_IsValid(field.type()) && KnowsTypesOf(field.fields());
  });
}

// Whether a schema is stated that this broker can judge.
bool HasKnownSchema(const v1::ChannelSpec& channel) {
  return channel.has_schema() && KnowsTypesOf(channel.schema().fields());
}

// Null if the book has no schema with this hash, given in hexadecimal digits.
std::shared_ptr<const v1::Schema> FindByHexHash(const SchemaBook& book, const std::string& hex) {
  const absl::StatusOr<SchemaRecordPtr> record = book.FindByHash(absl::HexStringToBytes(hex));
  return record.ok() ? (*record)->schema : nullptr;
}

}  // namespace

SchemaDirectory::SchemaDirectory(const Limits& limits, GroupCommit& commit,
                                 const std::map<std::string, std::string>& kept, LogHook log)
    : log_(std::move(log)), commit_(commit), book_(limits) {
  std::vector<SchemaRecord> records;
  size_t left_out = 0;
  for (auto next = kept.lower_bound(kSchemaKeyPrefix);
       next != kept.end() && absl::StartsWith(next->first, kSchemaKeyPrefix); ++next) {
    v1::SchemaVersion version;
    if (version.ParseFromString(next->second)) {
      records.push_back(FromProto(version));
    } else {
      ++left_out;
    }
  }
  left_out += book_.Restore(std::move(records));
  if (left_out == 0 || !log_) return;
  log_({LogLevel::kError, "schemas_left_out", {{"count", absl::StrCat(left_out)}}});
}

SchemaDirectory::Added SchemaDirectory::RegisterAndHandOver(absl::string_view name, const v1::Schema& schema,
                                                            absl::string_view identity,
                                                            v1::Compatibility required, absl::Time now) {
  const absl::Status writable = commit_.CheckWritable();
  absl::MutexLock lock(&mutex_);
  if (!writable.ok() && book_.FindEqual(name, schema) == nullptr) return {writable, commit_.last()};
  auto registration = book_.Register(name, schema, identity, required, now);
  std::vector<Change> changes;
  for (const SchemaRecordPtr& added : book_.TakeAdded()) {
    changes.push_back({SchemaKeyOf(added->name, added->version),
                       OpaqueRecord{ToProto(*added, /*include_schema=*/true).SerializeAsString()}});
  }
  // Also if this call added nothing: what it found may be another's, and not durable yet.
  const auto ticket = changes.empty() ? commit_.last() : commit_.Add(std::move(changes), /*events=*/{});
  return {std::move(registration), ticket};
}

absl::StatusOr<SchemaRegistration> SchemaDirectory::Register(absl::string_view name, const v1::Schema& schema,
                                                             absl::string_view identity,
                                                             v1::Compatibility required, absl::Time now) {
  Added added = RegisterAndHandOver(name, schema, identity, required, now);
  if (!added.registration.ok()) return added.registration;
  if (absl::Status status = commit_.Wait(added.ticket); !status.ok()) return status;
  return added.registration;
}

uint32_t SchemaDirectory::VersionFor(const v1::ChannelSpec& channel, absl::string_view identity) const {
  if (!HasKnownSchema(channel)) return 0;
  absl::ReaderMutexLock lock(&mutex_);
  return book_.VersionFor(channel.name(), channel.schema(), identity);
}

void SchemaDirectory::Keep(const v1::ChannelSpec& channel, absl::string_view identity, absl::Time now) {
  if (!HasKnownSchema(channel)) return;
  const Added added =
      RegisterAndHandOver(channel.name(), channel.schema(), identity, v1::COMPATIBILITY_UNSPECIFIED, now);
  const absl::Status& status = added.registration.status();
  if (status.ok() || !log_) return;
  log_({LogLevel::kWarning,
        "schema_not_kept",
        {{"channel", channel.name()},
         {"identity", std::string(identity)},
         {"message", std::string(status.message())}}});
}

absl::Status CheckSchema(const v1::Schema& schema, absl::string_view schema_field, absl::string_view hash,
                         absl::string_view hash_field) {
  if (!KnowsTypesOf(schema.fields())) return absl::OkStatus();
  if (absl::Status status = ValidateSchema(schema, schema_field); !status.ok()) return status;
  const std::string actual = schema::HashOf(schema);
  // A hash of another size is refused with the rest of what the request gets wrong.
  if (hash == actual || (!hash.empty() && hash.size() != actual.size())) return absl::OkStatus();
  return RefuseFields({{std::string(hash_field), absl::StrCat("must be the hash of ", schema_field, ", ",
                                                              absl::BytesToHexString(actual), ", not ",
                                                              absl::BytesToHexString(hash))}});
}

absl::Status ExplainMismatch(const SchemaBook& book, absl::Status status, const v1::Schema* expected) {
  const auto details = DetailsOf(status);
  if (!details.has_value() || details->reason != ReasonName(Reason::kSchemaMismatch)) return status;
  const auto actual = FindByHexHash(book, details->metadata.at("actual_schema_hash"));
  const auto found = FindByHexHash(book, details->metadata.at("expected_schema_hash"));
  if (expected == nullptr || !KnowsTypesOf(expected->fields())) expected = found.get();
  if (actual == nullptr || expected == nullptr) return status;
  const std::string difference = InWords(Compare(*actual, *expected), Voice::kMismatch);
  Metadata metadata(details->metadata.begin(), details->metadata.end());
  metadata.emplace_back("difference", difference);
  return Refuse(Reason::kSchemaMismatch,
                absl::StrCat(status.message(), ". The channel's schema: ", difference), metadata,
                details->retry_delay);
}

}  // namespace pylabhub::broker
