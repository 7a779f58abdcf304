#include "shm/schema_difference.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace pylabhub::shm {
namespace {

std::string Quoted(absl::string_view text) { return text.empty() ? "none" : absl::StrCat("\"", text, "\""); }

// "field 3 "celsius" (float64 at byte 8)"
std::string Describe(const Field& field, size_t number) {
  return absl::StrCat("field ", number, " ", Quoted(field.name), " (", NameOf(field.type),
                      field.count == 1 ? "" : absl::StrCat("[", field.count, "]"), " at byte ",
                      field.offset_bytes, ")");
}

template <typename Value>
std::string Says(absl::string_view noun, const Value& carried, const Value& expected) {
  return absl::StrCat(noun, " is ", carried, ", expected ", expected);
}

std::string FieldDifference(const Field& carried, const Field& expected) {
  if (carried.name != expected.name) return Says("name", Quoted(carried.name), Quoted(expected.name));
  if (carried.type != expected.type) return Says("type", NameOf(carried.type), NameOf(expected.type));
  if (carried.count != expected.count) return Says("count", carried.count, expected.count);
  if (carried.offset_bytes != expected.offset_bytes) {
    return Says("offset", carried.offset_bytes, expected.offset_bytes);
  }
  if (carried.unit != expected.unit) return Says("unit", Quoted(carried.unit), Quoted(expected.unit));
  return "";
}

}  // namespace

std::string FirstDifference(const Schema& carried, const Schema& expected) {
  if (carried.name != expected.name) {
    return absl::StrCat("record: ", Says("name", Quoted(carried.name), Quoted(expected.name)));
  }
  const size_t common = std::min(carried.fields.size(), expected.fields.size());
  for (size_t i = 0; i < common; ++i) {
    const std::string difference = FieldDifference(carried.fields[i], expected.fields[i]);
    if (!difference.empty()) {
      return absl::StrCat("field ", i + 1, " ", Quoted(carried.fields[i].name), ": ", difference);
    }
  }
  if (carried.fields.size() > common) {
    return absl::StrCat(Describe(carried.fields[common], common + 1), " is there, and not expected");
  }
  if (expected.fields.size() > common) {
    return absl::StrCat(Describe(expected.fields[common], common + 1), " is expected, and missing");
  }
  if (carried.record_bytes == expected.record_bytes) return "";
  return absl::StrCat("record: ", Says("size in bytes", carried.record_bytes, expected.record_bytes));
}

}  // namespace pylabhub::shm
