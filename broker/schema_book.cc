#include "broker/schema_book.h"

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "broker/refusal.h"
#include "broker/schema_compatibility.h"
#include "broker/usage_book.h"
#include "broker/validate.h"
#include "proto/schema/canonical.h"

namespace pylabhub::broker {
namespace {

// What a version takes beside its schema and its name, roughly.
constexpr uint64_t kRecordBytes = 256;

uint64_t BytesOf(absl::string_view name, const v1::Schema& schema) {
  return kRecordBytes + name.size() + schema.ByteSizeLong();
}

absl::Status Validate(absl::string_view name, const v1::Schema& schema) {
  if (!IsChannelName(name)) {
    return RefuseFields({{"name", "must match [a-z0-9._-]{1,128}, for instance \"sensor.temperature\""}});
  }
  return ValidateSchema(schema, "schema");
}

absl::Status RefuseIncompatible(const SchemaRecord& latest, const SchemaComparison& comparison) {
  return Refuse(Reason::kSchemaIncompatible,
                absl::StrCat("the schema is not as compatible with version ", latest.version, " of \"",
                             latest.name, "\" as required: ", InWords(comparison, Voice::kVersions)),
                {{"schema", latest.name},
                 {"version", absl::StrCat(latest.version)},
                 {"difference", InWords(comparison.differences.front(), Voice::kVersions)}});
}

absl::Status RefuseNotFound(absl::string_view schema, uint32_t version, absl::string_view message) {
  return Refuse(Reason::kSchemaNotFound, message,
                {{"schema", std::string(schema)}, {"version", absl::StrCat(version)}});
}

// `versions` is null, or has at least one.
template <typename Versions>
uint32_t NextVersion(const Versions* versions) {
  return versions == nullptr ? 1 : versions->rbegin()->first + 1;
}

}  // namespace

absl::Status ValidateSchema(const v1::Schema& schema, absl::string_view field) {
  if (schema.ByteSizeLong() > kMaxSchemaBytes) {
    return RefuseFields({{std::string(field), absl::StrCat("must be at most ", kMaxSchemaBytes,
                                                           " bytes encoded, not ", schema.ByteSizeLong())}});
  }
  std::vector<FieldViolation> violations;
  for (schema::Violation& violation : schema::ViolationsOf(schema, field)) {
    violations.push_back({std::move(violation.field), std::move(violation.rule)});
  }
  return RefuseFields(violations);
}

absl::StatusOr<SchemaRegistration> SchemaBook::Register(absl::string_view name, const v1::Schema& schema,
                                                        absl::string_view identity,
                                                        v1::Compatibility required, absl::Time now) {
  if (absl::Status status = Validate(name, schema); !status.ok()) return status;
  const Versions* versions = VersionsOf(name);
  if (SchemaRecordPtr equal = FindEqual(name, schema)) return SchemaRegistration{std::move(equal), false};
  if (versions != nullptr && required != v1::COMPATIBILITY_UNSPECIFIED) {
    const SchemaRecord& latest = *versions->rbegin()->second;
    const SchemaComparison comparison = Compare(*latest.schema, schema);
    if (comparison.compatibility > required) return RefuseIncompatible(latest, comparison);
  }
  if (absl::Status status = CheckRoomFor(name, BytesOf(name, schema), identity); !status.ok()) return status;
  SchemaRecordPtr added = Add({.name = std::string(name),
                               .version = NextVersion(versions),
                               .schema_hash = schema::HashOf(schema),
                               .schema = std::make_shared<const v1::Schema>(schema),
                               .register_time = now,
                               .identity = std::string(identity),
                               .fingerprint = schema::FingerprintOf(schema)});
  added_.push_back(added);
  return SchemaRegistration{.record = std::move(added), .created = true};
}

SchemaRecordPtr SchemaBook::FindEqual(absl::string_view name, const v1::Schema& schema) const {
  const Versions* versions = VersionsOf(name);
  if (versions == nullptr) return nullptr;
  const std::string fingerprint = schema::FingerprintOf(schema);
  for (const auto& [version, record] : *versions) {
    if (record->fingerprint == fingerprint) return record;
  }
  return nullptr;
}

uint32_t SchemaBook::VersionFor(absl::string_view name, const v1::Schema& schema,
                                absl::string_view identity) const {
  if (!Validate(name, schema).ok()) return 0;
  if (const SchemaRecordPtr equal = FindEqual(name, schema)) return equal->version;
  return CheckRoomFor(name, BytesOf(name, schema), identity).ok() ? NextVersion(VersionsOf(name)) : 0;
}

absl::StatusOr<SchemaRecordPtr> SchemaBook::Find(absl::string_view name, uint32_t version) const {
  const Versions* versions = VersionsOf(name);
  if (versions == nullptr) {
    return RefuseNotFound(name, version,
                          absl::StrCat("no schema \"", absl::Utf8SafeCHexEscape(name), "\" is registered"));
  }
  if (version == 0) return versions->rbegin()->second;
  const auto found = versions->find(version);
  if (found != versions->end()) return found->second;
  return RefuseNotFound(name, version,
                        absl::StrCat("schema \"", name, "\" has no version ", version, "; its latest is ",
                                     versions->rbegin()->first));
}

absl::StatusOr<SchemaRecordPtr> SchemaBook::FindByHash(absl::string_view schema_hash) const {
  const auto found = by_hash_.find(schema_hash);
  if (found != by_hash_.end()) return found->second;
  return RefuseUnknownSchemaHash(schema_hash);
}

absl::Status RefuseUnknownSchemaHash(absl::string_view schema_hash) {
  const std::string hex = absl::BytesToHexString(schema_hash);
  return RefuseNotFound(hex, 0, absl::StrCat("no schema with hash ", hex, " is registered"));
}

SchemaPage SchemaBook::List(const SchemaQuery& query) const {
  SchemaPage page;
  const auto add = [&](const SchemaRecordPtr& record) {
    page.has_more = page.records.size() == query.page_size;
    if (!page.has_more) page.records.push_back(record);
    return !page.has_more;
  };
  if (query.name.empty()) {
    for (auto next = by_name_.upper_bound(query.after_name); next != by_name_.end(); ++next) {
      if (!add(next->second.rbegin()->second)) break;
    }
    return page;
  }
  const Versions* versions = VersionsOf(query.name);
  if (versions == nullptr) return page;
  for (auto next = versions->upper_bound(query.after_version); next != versions->end(); ++next) {
    if (!add(next->second)) break;
  }
  return page;
}

std::vector<SchemaRecordPtr> SchemaBook::TakeAdded() { return std::exchange(added_, {}); }

size_t SchemaBook::Restore(std::vector<SchemaRecord> records) {
  size_t left_out = 0;
  for (SchemaRecord& record : records) {
    if (record.schema == nullptr || record.version == 0 || !Validate(record.name, *record.schema).ok()) {
      ++left_out;
      continue;
    }
    record.schema_hash = schema::HashOf(*record.schema);
    record.fingerprint = schema::FingerprintOf(*record.schema);
    Add(std::move(record));
  }
  return left_out;
}

const SchemaBook::Versions* SchemaBook::VersionsOf(absl::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : &found->second;
}

absl::Status SchemaBook::CheckRoomFor(absl::string_view name, uint64_t bytes,
                                      absl::string_view identity) const {
  const Versions* versions = VersionsOf(name);
  if (versions == nullptr && by_name_.size() >= limits_.max_schemas) {
    return RefuseBeyond("schemas", limits_.max_schemas);
  }
  if (versions != nullptr && versions->size() >= limits_.max_versions_per_schema) {
    return RefuseBeyond("versions_per_schema", limits_.max_versions_per_schema);
  }
  const auto held = bytes_by_identity_.find(identity);
  const uint64_t held_bytes = held == bytes_by_identity_.end() ? 0 : held->second;
  if (held_bytes + bytes > limits_.max_schema_bytes_per_identity) {
    return RefuseBeyond("schema_bytes_per_identity", limits_.max_schema_bytes_per_identity);
  }
  return absl::OkStatus();
}

SchemaRecordPtr SchemaBook::Add(SchemaRecord record) {
  bytes_by_identity_[record.identity] += BytesOf(record.name, *record.schema);
  SchemaRecordPtr& first = by_hash_[record.schema_hash];
  // Many channels with one schema hold it once.
  if (first != nullptr && first->schema->SerializeAsString() == record.schema->SerializeAsString()) {
    record.schema = first->schema;
  }
  auto added = std::make_shared<const SchemaRecord>(std::move(record));
  if (first == nullptr || added->register_time < first->register_time) first = added;
  by_name_[added->name][added->version] = added;
  return added;
}

}  // namespace pylabhub::broker
