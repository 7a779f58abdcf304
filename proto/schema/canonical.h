// A pylabhub.v1.Schema as text: the rules that it must keep, its canonical text, and the hash by which
// everybody compares it. proto/pylabhub/v1/schema.proto documents the text, docs/schema.md to the byte. The data
// plane, which knows no protobuf, writes the same text from a schema of its own (shm/schema.h); a test holds
// the two together.
//
// Thread safety: free functions with no shared state.
#ifndef PYLABHUB_PROTO_SCHEMA_CANONICAL_H_
#define PYLABHUB_PROTO_SCHEMA_CANONICAL_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "proto/pylabhub/v1/schema.pb.h"

namespace pylabhub::schema {

// A part of a schema and the rule that it breaks.
struct Violation {
  std::string field;  // its path, for instance "schema.fields[2].unit"
  std::string rule;
};

// What is wrong with `schema`, at most the first 8; empty: it is valid. `field` is the schema's own path. The
// functions below take valid schemas only.
std::vector<Violation> ViolationsOf(const v1::Schema& schema, absl::string_view field);

// A field that holds values; a field of FIELD_TYPE_STRUCT holds such fields and is none.
struct Leaf {
  std::string path;  // names joined by dots: "pose.x"
  v1::FieldType type = v1::FIELD_TYPE_UNSPECIFIED;
  uint64_t count = 1;
  uint64_t offset_bytes = 0;         // from the start of the record
  const v1::Field* field = nullptr;  // its unit and the names of its values; lives as long as the schema
};

// In the order of their offsets.
std::vector<Leaf> LeavesOf(const v1::Schema& schema);

// "float64" for FIELD_TYPE_FLOAT64.
std::string NameOf(v1::FieldType type);

// The bytes that one value takes; 0 for FIELD_TYPE_STRUCT and for a type that is not known.
uint64_t BytesOf(v1::FieldType type);

std::string CanonicalText(const v1::Schema& schema);

// SHA-256 of the canonical text: 32 bytes.
std::string HashOf(const v1::Schema& schema);

// 32 bytes that two schemas share exactly if they differ in descriptions at most: the hash, and what it leaves out (names
// of values, alignment).
std::string FingerprintOf(const v1::Schema& schema);

}  // namespace pylabhub::schema

#endif  // PYLABHUB_PROTO_SCHEMA_CANONICAL_H_
