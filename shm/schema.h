// What the bytes of a slot mean: a record of named, typed fields, repeated as often as the payload has room
// for.
//
// A schema travels in the segment as its canonical text, so that a tool that never saw the C++ type can
// decode the data, and is compared by the SHA-256 of that text. The text has one line for the record and one
// for each field:
//
//   pylabhub-schema 1
//   record TempReading 16
//   field celsius float64 1 0 Cel
//   field timestamp_ns int64 1 8 ns
//
// (record NAME BYTES; field NAME TYPE COUNT OFFSET UNIT, the unit being the rest of the line, possibly empty;
// every line ends with one '\n'.) Two schemas are equal if and only if their canonical texts are.
//
// Thread safety: value types; thread-compatible.
#ifndef PYLABHUB_SHM_SCHEMA_H_
#define PYLABHUB_SHM_SCHEMA_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace pylabhub::shm {

// SHA-256 of a schema's canonical text.
using SchemaHash = std::array<uint8_t, 32>;

enum class ScalarType : uint8_t {
  kBool,  // one byte, 0 or 1
  kChar,  // one byte of UTF-8; an array of them is a string that ends at its first NUL
  kInt8,
  kInt16,
  kInt32,
  kInt64,
  kUint8,
  kUint16,
  kUint32,
  kUint64,
  kFloat32,  // IEEE 754
  kFloat64,
};

// "float64" for kFloat64 and so on: the word in the canonical text.
absl::string_view NameOf(ScalarType type);
// The bytes that one value takes: 1, 2, 4 or 8.
size_t BytesOf(ScalarType type);

struct Field {
  std::string name;  // [A-Za-z_][A-Za-z0-9_.]*, at most 128 characters; a nested struct's is "outer.inner"
  ScalarType type;
  uint32_t count = 1;     // values in a row: 1 for a scalar, N for a fixed array
  uint32_t offset_bytes;  // from the start of the record
  std::string unit = {};  // UCUM where it has one ("Cel", "ns", "m/s"); empty for none; at most 64 characters

  size_t bytes() const { return BytesOf(type) * count; }
  bool operator==(const Field&) const = default;
};

struct Schema {
  std::string name;                // [A-Za-z_][A-Za-z0-9_:.]*, at most 128 characters
  uint32_t record_bytes = 0;       // sizeof the record, its padding included; 0 for opaque bytes
  std::vector<Field> fields = {};  // in order of their offsets

  // Bytes without a meaning of their own: what a file or a socket carries. The default of a channel.
  static Schema Opaque();
  bool opaque() const { return record_bytes == 0; }
  bool operator==(const Schema&) const = default;

  // OK, or kInvalidArgument with the field that is wrong and why: a bad name, an overlap, a field past the
  // record.
  absl::Status Validate() const;
};

// The text above. `schema` must be valid.
std::string CanonicalText(const Schema& schema);

// The schema that `text` is the canonical text of. Any other text, such as one with a space too many, is
// kInvalidArgument with the line that is wrong: what hashes differently must not read the same.
absl::StatusOr<Schema> ParseCanonicalText(absl::string_view text);

SchemaHash HashOf(const Schema& schema);

// 64 lower-case hexadecimal digits.
std::string ToHex(const SchemaHash& hash);

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_SCHEMA_H_
