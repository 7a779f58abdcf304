#include "shm/schema.h"

// The plain functions: the ones that replace them load OpenSSL's configuration and providers first, which costs a process
// that opens its first channel 1 to 2 ms.
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace pylabhub::shm {
namespace {

constexpr absl::string_view kHeading = "pylabhub-schema 1";
constexpr size_t kMaxNameChars = 128;
constexpr size_t kMaxUnitChars = 64;
constexpr size_t kMaxFields = 4096;

struct ScalarFacts {
  ScalarType type;
  absl::string_view name;
  size_t bytes;
};
constexpr ScalarFacts kScalars[] = {
    {ScalarType::kBool, "bool", 1},       {ScalarType::kChar, "char", 1},
    {ScalarType::kInt8, "int8", 1},       {ScalarType::kInt16, "int16", 2},
    {ScalarType::kInt32, "int32", 4},     {ScalarType::kInt64, "int64", 8},
    {ScalarType::kUint8, "uint8", 1},     {ScalarType::kUint16, "uint16", 2},
    {ScalarType::kUint32, "uint32", 4},   {ScalarType::kUint64, "uint64", 8},
    {ScalarType::kFloat32, "float32", 4}, {ScalarType::kFloat64, "float64", 8},
};

const ScalarFacts& FactsOf(ScalarType type) { return kScalars[static_cast<size_t>(type)]; }

bool IsNameStart(char c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_'; }

bool IsName(absl::string_view name, absl::string_view more) {
  if (name.empty() || name.size() > kMaxNameChars || !IsNameStart(name[0])) return false;
  return std::all_of(name.begin(), name.end(), [&](char c) {
    return IsNameStart(c) || (c >= '0' && c <= '9') || more.find(c) != absl::string_view::npos;
  });
}

bool IsUnit(absl::string_view unit) {
  return unit.size() <= kMaxUnitChars && std::none_of(unit.begin(), unit.end(), [](char c) {
           return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
         });
}

absl::Status FieldError(const Field& field, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("schema field '", absl::CEscape(field.name), "': ", what));
}

absl::Status ValidateField(const Field& field, uint64_t end_of_last_bytes, uint32_t record_bytes) {
  if (!IsName(field.name, ".")) {
    return FieldError(field, "its name must match [A-Za-z_][A-Za-z0-9_.]* and have at most 128 characters");
  }
  if (static_cast<size_t>(field.type) >= std::size(kScalars)) return FieldError(field, "its type is unknown");
  if (!IsUnit(field.unit))
    return FieldError(field, "its unit must be printable and have at most 64 characters");
  if (field.count == 0) return FieldError(field, "its count must be at least 1");
  if (field.offset_bytes < end_of_last_bytes) {
    return FieldError(field, "it overlaps the field before it, or is out of order");
  }
  const uint64_t end_bytes = field.offset_bytes + uint64_t{field.count} * BytesOf(field.type);
  if (end_bytes > record_bytes) {
    return FieldError(field, absl::StrCat("it ends at byte ", end_bytes, " of a record of ", record_bytes));
  }
  return absl::OkStatus();
}

std::optional<ScalarType> ScalarFromName(absl::string_view name) {
  for (const ScalarFacts& facts : kScalars) {
    if (facts.name == name) return facts.type;
  }
  return std::nullopt;
}

absl::Status LineError(absl::string_view line, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("schema line '", absl::CEscape(line), "': ", what));
}

absl::StatusOr<Schema> ParseRecordLine(absl::string_view line) {
  const std::vector<absl::string_view> words = absl::StrSplit(line, ' ');
  Schema schema;
  if (words.size() != 3 || words[0] != "record" || !absl::SimpleAtoi(words[2], &schema.record_bytes)) {
    return LineError(line, "it must read 'record NAME BYTES'");
  }
  schema.name = std::string(words[1]);
  return schema;
}

absl::StatusOr<Field> ParseFieldLine(absl::string_view line) {
  const std::vector<absl::string_view> words = absl::StrSplit(line, absl::MaxSplits(' ', 5));
  Field field;
  if (words.size() != 6 || words[0] != "field" || !absl::SimpleAtoi(words[3], &field.count) ||
      !absl::SimpleAtoi(words[4], &field.offset_bytes)) {
    return LineError(line, "it must read 'field NAME TYPE COUNT OFFSET UNIT'");
  }
  const std::optional<ScalarType> type = ScalarFromName(words[2]);
  if (!type.has_value()) return LineError(line, "its type is unknown");
  field.name = std::string(words[1]);
  field.type = *type;
  field.unit = std::string(words[5]);
  return field;
}

}  // namespace

absl::string_view NameOf(ScalarType type) { return FactsOf(type).name; }

size_t BytesOf(ScalarType type) { return FactsOf(type).bytes; }

Schema Schema::Opaque() { return {.name = "bytes", .record_bytes = 0, .fields = {}}; }

absl::Status Schema::Validate() const {
  if (!IsName(name, ":.")) {
    return absl::InvalidArgumentError(
        absl::StrCat("schema name '", absl::CEscape(name),
                     "' must match [A-Za-z_][A-Za-z0-9_:.]* and have at most 128 characters"));
  }
  if (fields.size() > kMaxFields) {
    return absl::InvalidArgumentError(
        absl::StrCat("schema '", name, "' has more than ", kMaxFields, " fields"));
  }
  if (!opaque() && fields.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("schema '", name, "' has no field: use Schema::Opaque for bytes"));
  }
  uint64_t end_bytes = 0;
  for (const Field& field : fields) {
    absl::Status status = ValidateField(field, end_bytes, record_bytes);
    if (!status.ok()) return status;
    end_bytes = field.offset_bytes + field.bytes();
  }
  return absl::OkStatus();
}

std::string CanonicalText(const Schema& schema) {
  std::string text = absl::StrCat(kHeading, "\nrecord ", schema.name, " ", schema.record_bytes, "\n");
  for (const Field& field : schema.fields) {
    absl::StrAppend(&text, "field ", field.name, " ", NameOf(field.type), " ", field.count, " ",
                    field.offset_bytes, " ", field.unit, "\n");
  }
  return text;
}

absl::StatusOr<Schema> ParseCanonicalText(absl::string_view text) {
  absl::string_view rest = text;
  if (!absl::ConsumeSuffix(&rest, "\n")) {
    return absl::InvalidArgumentError("schema text must end with a line feed");
  }
  const std::vector<absl::string_view> lines = absl::StrSplit(rest, '\n');
  if (lines.size() < 2 || lines[0] != kHeading) {
    return LineError(lines[0], absl::StrCat("the first must be '", kHeading, "', and a record line follow"));
  }
  absl::StatusOr<Schema> schema = ParseRecordLine(lines[1]);
  if (!schema.ok()) return schema;
  for (size_t i = 2; i < lines.size(); ++i) {
    absl::StatusOr<Field> field = ParseFieldLine(lines[i]);
    if (!field.ok()) return field.status();
    schema->fields.push_back(*std::move(field));
  }
  if (absl::Status status = schema->Validate(); !status.ok()) return status;
  // Numbers have more than one spelling ("+1", "01"); the canonical text has one.
  if (CanonicalText(*schema) != text) {
    return absl::InvalidArgumentError("schema text is not canonical: its numbers must be plain decimal");
  }
  return schema;
}

SchemaHash HashOf(const Schema& schema) {
  const std::string text = CanonicalText(schema);
  SchemaHash hash;
  SHA256_CTX context;
  SHA256_Init(&context);
  SHA256_Update(&context, text.data(), text.size());
  SHA256_Final(hash.data(), &context);
  return hash;
}

std::string ToHex(const SchemaHash& hash) {
  return absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(hash.data()), hash.size()));
}

}  // namespace pylabhub::shm
