#include "client/cli/field_value.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "client/cli/scalar.h"

namespace pylabhub::cli {
namespace {

using shm::Field;

absl::Status NoSuchField(const shm::Schema& schema, absl::string_view name) {
  std::vector<std::string> names;
  for (const Field& field : schema.fields) {
    if (field.type != shm::ScalarType::kChar) names.push_back(field.name);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("the channel has no field of numbers '", name, "'; it has ",
                   names.empty() ? "none" : absl::StrJoin(names, ", "),
                   schema.opaque() ? ": its slots are bytes, without a schema" : ""));
}

}  // namespace

absl::StatusOr<FieldValue> FieldValue::Find(const shm::Schema& schema, absl::string_view name) {
  const size_t bracket = name.find('[');
  const absl::string_view field_name = name.substr(0, bracket);
  const auto found = std::find_if(schema.fields.begin(), schema.fields.end(),
                                  [&](const Field& field) { return field.name == field_name; });
  if (found == schema.fields.end() || found->type == shm::ScalarType::kChar) return NoSuchField(schema, name);
  uint32_t index = 0;
  if (bracket != absl::string_view::npos) {
    absl::string_view number = name.substr(bracket + 1);
    if (!absl::ConsumeSuffix(&number, "]") || !absl::SimpleAtoi(number, &index) || index >= found->count) {
      return absl::InvalidArgumentError(absl::StrCat("'", name, "': field ", field_name,
                                                     " has the values [0] to [", found->count - 1, "]"));
    }
  }
  return FieldValue(found->type, found->offset_bytes + index * shm::BytesOf(found->type), found->unit);
}

double FieldValue::Of(std::span<const std::byte> record) const {
  return VisitScalar(type_, record.data() + offset_bytes_,
                     [](auto value) { return static_cast<double>(value); });
}

}  // namespace pylabhub::cli
