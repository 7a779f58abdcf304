#include "proto/schema/from_text.h"

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/types/span.h"
#include "proto/schema/canonical.h"

namespace pylabhub::schema {
namespace {

using Fields = google::protobuf::RepeatedPtrField<v1::Field>;

struct Line {
  absl::string_view path;
  v1::Field field;  // without its name, with its offset from the start of the record

  uint64_t end_bytes() const { return field.offset_bytes() + field.count() * BytesOf(field.type()); }
};

// Whether `text` reads "field NAME TYPE COUNT OFFSET UNIT".
bool ParseLine(absl::string_view text, Line& line) {
  const std::vector<absl::string_view> words = absl::StrSplit(text, absl::MaxSplits(' ', 5));
  uint64_t count = 0;
  uint64_t offset_bytes = 0;
  v1::FieldType type = v1::FIELD_TYPE_UNSPECIFIED;
  if (words.size() != 6 || words[0] != "field" || !absl::SimpleAtoi(words[3], &count) ||
      !absl::SimpleAtoi(words[4], &offset_bytes) ||
      !v1::FieldType_Parse(absl::StrCat("FIELD_TYPE_", absl::AsciiStrToUpper(words[2])), &type)) {
    return false;
  }
  line.path = words[1];
  line.field.set_type(type);
  line.field.set_count(count);
  line.field.set_offset_bytes(offset_bytes);
  line.field.set_unit(std::string(words[5]));
  return true;
}

// Adds `lines`, whose paths begin with `prefix_bytes` that are dealt with already.
void AddFields(absl::Span<const Line> lines, size_t prefix_bytes, uint64_t base_bytes, Fields& fields) {
  for (size_t i = 0; i < lines.size();) {
    const absl::string_view name = lines[i].path.substr(prefix_bytes);
    const size_t dot = name.find('.');
    v1::Field& field = *fields.Add();
    if (dot == absl::string_view::npos) {
      field = lines[i++].field;
      field.set_name(std::string(name));
      field.set_offset_bytes(field.offset_bytes() - base_bytes);
      continue;
    }
    const absl::string_view group = lines[i].path.substr(0, prefix_bytes + dot + 1);
    size_t end = i;
    while (end < lines.size() && absl::StartsWith(lines[end].path, group)) ++end;
    const uint64_t begin_bytes = lines[i].field.offset_bytes();
    field.set_name(std::string(name.substr(0, dot)));
    field.set_type(v1::FIELD_TYPE_STRUCT);
    field.set_count(1);
    field.set_offset_bytes(begin_bytes - base_bytes);
    field.set_element_size_bytes(lines[end - 1].end_bytes() - begin_bytes);
    AddFields(lines.subspan(i, end - i), group.size(), begin_bytes, *field.mutable_fields());
    i = end;
  }
}

}  // namespace

absl::StatusOr<v1::Schema> FromCanonicalText(absl::string_view text) {
  const std::vector<absl::string_view> lines = absl::StrSplit(text, '\n');
  const std::vector<absl::string_view> words =
      lines.size() < 2 ? std::vector<absl::string_view>() : absl::StrSplit(lines[1], ' ');
  v1::Schema schema;
  uint64_t size_bytes = 0;
  if (words.size() != 3 || !absl::SimpleAtoi(words[2], &size_bytes)) {
    return absl::InvalidArgumentError("schema text has no line 'record NAME BYTES'");
  }
  schema.set_name(std::string(words[1]));
  schema.set_size_bytes(size_bytes);
  std::vector<Line> fields;
  for (size_t i = 2; i + 1 < lines.size(); ++i) {
    if (!ParseLine(lines[i], fields.emplace_back())) {
      return absl::InvalidArgumentError(
          absl::StrCat("schema line '", absl::CEscape(lines[i]), "' is no field's"));
    }
  }
  AddFields(fields, 0, 0, *schema.mutable_fields());
  for (const Violation& violation : ViolationsOf(schema, "schema")) {
    return absl::InvalidArgumentError(absl::StrCat(violation.field, ": ", violation.rule));
  }
  if (CanonicalText(schema) != text) return absl::InvalidArgumentError("schema text is not canonical");
  return schema;
}

}  // namespace pylabhub::schema
