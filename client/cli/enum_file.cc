#include "client/cli/enum_file.h"

#include <cstdint>
#include <fstream>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace pylabhub::cli {
namespace {

using nlohmann::ordered_json;

// Whether `json` is an object of objects of integers.
bool ParseNames(const ordered_json& json, EnumNames& names) {
  if (!json.is_object()) return false;
  for (const auto& [field, values] : json.items()) {
    if (!values.is_object()) return false;
    for (const auto& [name, number] : values.items()) {
      if (!number.is_number_integer()) return false;
      // Of what is larger than any int64_t, the bits.
      names[field].emplace_back(name, number.is_number_unsigned()
                                          ? static_cast<int64_t>(number.get<uint64_t>())
                                          : number.get<int64_t>());
    }
  }
  return true;
}

bool ParseLine(const std::string& line, NamesByChannel& enums) {
  const ordered_json json = ordered_json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("name") || !json["name"].is_string()) return false;
  // As `schema get` prints a schema that has none.
  if (!json.contains("enums")) return true;
  return ParseNames(json["enums"], enums[json["name"].get<std::string>()]);
}

}  // namespace

absl::StatusOr<NamesByChannel> ReadEnums(const std::string& path) {
  std::ifstream file(path);
  NamesByChannel enums;
  int line_number = 0;
  for (std::string line; std::getline(file, line);) {
    ++line_number;
    if (absl::StripAsciiWhitespace(line).empty() || ParseLine(line, enums)) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        path, " line ", line_number,
        R"( names no values of enumerations; a line reads {"name": "CHANNEL", "enums": {"FIELD": {"NAME": 1}}})"));
  }
  // A folder can be opened, and not be read.
  if (!file.eof())
    return absl::UnavailableError(absl::StrCat("cannot read ", path, "; give a file that can be read"));
  return enums;
}

ordered_json EnumsToJson(const EnumNames& names) {
  ordered_json json = ordered_json::object();
  for (const auto& [field, values] : names) {
    for (const auto& [name, number] : values) json[field][name] = number;
  }
  return json;
}

}  // namespace pylabhub::cli
