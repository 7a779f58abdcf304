// Schemas by name, each with versions 1, 2, 3 ... that never change and are never forgotten.
//
// A SchemaBook does no I/O, takes no lock and reads no clock. What a call means to its caller is told in
// proto/pylabhub/v1/schema_registry.proto.
//
// Thread safety: thread-compatible; Directory serialises its calls.
// Ownership:     what it returns is shared and never changes.
// Errors:        refusal.h; each call lists its reasons, beside INVALID_REQUEST (a field breaks its rule).
//                A refused call changes nothing.
#ifndef PYLABHUB_BROKER_SCHEMA_BOOK_H_
#define PYLABHUB_BROKER_SCHEMA_BOOK_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "broker/limits.h"
#include "proto/pylabhub/v1/schema.pb.h"
#include "proto/pylabhub/v1/schema_registry.pb.h"

namespace pylabhub::broker {

// One registered version.
struct SchemaRecord {
  std::string name = {};
  uint32_t version = 0;          // from 1
  std::string schema_hash = {};  // 32 bytes
  std::shared_ptr<const v1::Schema> schema = nullptr;
  absl::Time register_time = absl::InfinitePast();
  std::string identity = {};     // who registered it
  std::string fingerprint = {};  // 32 bytes; versions of a name differ in it (proto/schema/canonical.h)
};

using SchemaRecordPtr = std::shared_ptr<const SchemaRecord>;

struct SchemaRegistration {
  SchemaRecordPtr record = nullptr;
  bool created = false;
};

// Which versions to list, from where.
struct SchemaQuery {
  std::string name = {};        // set: every version of this name; empty: the latest version of every name
  std::string after_name = {};  // `name` empty: the last name of the page before
  uint32_t after_version = 0;   // `name` set: the last version of the page before
  size_t page_size = 100;       // at least 1
};

struct SchemaPage {
  std::vector<SchemaRecordPtr> records = {};  // by name and version
  bool has_more = false;
};

class SchemaBook {
 public:
  explicit SchemaBook(const Limits& limits) : limits_(limits) {}

  // Adds a version under `name`, or finds the one that equals `schema` but for descriptions.
  //
  // Errors:
  //   SCHEMA_INCOMPATIBLE  a new version would be further from the latest one than `required`; _UNSPECIFIED: any
  //   LIMIT_EXCEEDED       limits.max_schemas, max_versions_per_schema, max_schema_bytes_per_identity
  absl::StatusOr<SchemaRegistration> Register(absl::string_view name, const v1::Schema& schema,
                                              absl::string_view identity, v1::Compatibility required,
                                              absl::Time now);

  // The version under `name` that equals `schema` but for descriptions; null if there is none.
  SchemaRecordPtr FindEqual(absl::string_view name, const v1::Schema& schema) const;

  // The version that Register would answer; 0 if it would refuse. Changes nothing.
  uint32_t VersionFor(absl::string_view name, const v1::Schema& schema, absl::string_view identity) const;

  // Version 0 stands for the latest.
  //
  // Errors:
  //   SCHEMA_NOT_FOUND
  absl::StatusOr<SchemaRecordPtr> Find(absl::string_view name, uint32_t version) const;

  // The one that was registered first with this hash, under whatever name.
  //
  // Errors:
  //   SCHEMA_NOT_FOUND
  absl::StatusOr<SchemaRecordPtr> FindByHash(absl::string_view schema_hash) const;

  SchemaPage List(const SchemaQuery& query) const;

  // The versions that were added since the last call.
  std::vector<SchemaRecordPtr> TakeAdded();

  // Puts back what TakeAdded told once, in any order. A record that does not keep the rules is left out, and its
  // version is SCHEMA_NOT_FOUND. Answers how many were left out.
  size_t Restore(std::vector<SchemaRecord> records);

 private:
  using Versions = std::map<uint32_t, SchemaRecordPtr>;  // never empty

  // Null if there is none.
  const Versions* VersionsOf(absl::string_view name) const;
  absl::Status CheckRoomFor(absl::string_view name, uint64_t bytes, absl::string_view identity) const;
  SchemaRecordPtr Add(SchemaRecord record);

  const Limits limits_;
  std::map<std::string, Versions, std::less<>> by_name_;
  absl::flat_hash_map<std::string, SchemaRecordPtr> by_hash_;
  absl::flat_hash_map<std::string, uint64_t> bytes_by_identity_;
  std::vector<SchemaRecordPtr> added_;
};

// SCHEMA_NOT_FOUND, as FindByHash says it.
absl::Status RefuseUnknownSchemaHash(absl::string_view schema_hash);

// Whether `schema` keeps the rules of schema.proto and is at most 64 KiB encoded. `field` is its path in the request.
//
// Errors:
//   INVALID_REQUEST
absl::Status ValidateSchema(const v1::Schema& schema, absl::string_view field);

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_SCHEMA_BOOK_H_
