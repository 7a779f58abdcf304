// How two schemas differ: what a reader of the older one may expect of slots that are written by the newer.
//
// Fields are compared by where they lie. A field of the newer schema that has an older one's offset, type and
// count is that field, whatever its name; what is left over is the same field if it has the same name, and else was
// removed or added. Nested structs are compared by their members. Not compared: descriptions, and what a struct
// within the record has of padding.
//
// Thread safety: free functions with no shared state.
// Time:          proportional to the number of fields, 1024 at most.
#ifndef PYLABHUB_BROKER_SCHEMA_COMPATIBILITY_H_
#define PYLABHUB_BROKER_SCHEMA_COMPATIBILITY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "proto/pylabhub/v1/schema.pb.h"
#include "proto/pylabhub/v1/schema_registry.pb.h"

namespace pylabhub::broker {

struct SchemaDifference {
  // As the wire API has it, with `before` and `after` as text.
  v1::SchemaDifference difference = {};
  // 1 for the record's first field, those of nested structs counted; in the older schema, or in the newer if it
  // was added. 0: the record as a whole.
  uint32_t field_number = 0;
};

struct SchemaComparison {
  v1::Compatibility compatibility = v1::COMPATIBILITY_IDENTICAL;
  // In the order of offsets, those of the record as a whole first. Empty if and only if identical.
  std::vector<SchemaDifference> differences = {};
};

// Of two valid schemas (proto/schema/canonical.h). Transitive: if A and B, and B and C, are no further apart than
// some compatibility, then A and C are not either.
SchemaComparison Compare(const v1::Schema& older, const v1::Schema& newer);

// Whose two schemas a text is about.
enum class Voice {
  kVersions,  // two versions: "was ..., is ..."
  kMismatch,  // a channel's, and what its peer expects: "is ..., expected ..."
};

// For instance `field 3 "celsius": unit was "degC", is "K"`.
std::string InWords(const SchemaDifference& difference, Voice voice);

// The first few, and how many more there are; at most about 1 KiB. Empty if there are none.
std::string InWords(const SchemaComparison& comparison, Voice voice);

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_SCHEMA_COMPATIBILITY_H_
