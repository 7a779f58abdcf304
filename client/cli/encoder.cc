#include "client/cli/encoder.h"

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <limits>
#include <set>
#include <utility>
#include <variant>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace pylabhub::cli {
namespace {

using nlohmann::ordered_json;
using shm::Field;
using shm::ScalarType;

using Number = std::variant<bool, int64_t, uint64_t, double>;

absl::Status Wrong(const Field& field, absl::string_view value, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("field '", field.name, "', ", shm::NameOf(field.type), ": ",
                                                 value.substr(0, 40), " ", why));
}

template <typename T, typename Value>
bool Holds(Value value) {
  if constexpr (std::same_as<T, bool>) {
    return value == Value{0} || value == Value{1};
  } else if constexpr (std::same_as<Value, bool>) {
    return false;
  } else if constexpr (std::integral<T>) {
    if constexpr (std::integral<Value>) return std::in_range<T>(value);
    return false;
  } else {
    return !std::isfinite(static_cast<double>(value)) ||
           std::abs(static_cast<double>(value)) <= static_cast<double>(std::numeric_limits<T>::max());
  }
}

template <typename T>
bool Store(const Number& number, std::byte* bytes) {
  return std::visit(
      [&](auto value) {
        if (!Holds<T>(value)) return false;
        const T stored = static_cast<T>(value);
        std::memcpy(bytes, &stored, sizeof(stored));
        return true;
      },
      number);
}

bool Store(ScalarType type, const Number& number, std::byte* bytes) {
  switch (type) {
    case ScalarType::kBool:
      return Store<bool>(number, bytes);
    case ScalarType::kInt8:
      return Store<int8_t>(number, bytes);
    case ScalarType::kInt16:
      return Store<int16_t>(number, bytes);
    case ScalarType::kInt32:
      return Store<int32_t>(number, bytes);
    case ScalarType::kInt64:
      return Store<int64_t>(number, bytes);
    case ScalarType::kChar:
    case ScalarType::kUint8:
      return Store<uint8_t>(number, bytes);
    case ScalarType::kUint16:
      return Store<uint16_t>(number, bytes);
    case ScalarType::kUint32:
      return Store<uint32_t>(number, bytes);
    case ScalarType::kUint64:
      return Store<uint64_t>(number, bytes);
    case ScalarType::kFloat32:
      return Store<float>(number, bytes);
    case ScalarType::kFloat64:
      return Store<double>(number, bytes);
  }
  return false;
}

bool IsFloat(ScalarType type) { return type == ScalarType::kFloat32 || type == ScalarType::kFloat64; }

absl::Status StoreString(const Field& field, absl::string_view text, std::byte* bytes) {
  if (text.size() > field.count) {
    return Wrong(field, absl::StrCat("\"", text, "\""),
                 absl::StrCat("has ", text.size(), " bytes, and there is room for ", field.count));
  }
  std::memcpy(bytes, text.data(), text.size());
  return absl::OkStatus();
}

// The numbers that JSON has none for.
absl::StatusOr<Number> NumberOf(const Field& field, const ordered_json& value) {
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_number_unsigned()) return value.get<uint64_t>();
  if (value.is_number_integer()) return value.get<int64_t>();
  if (value.is_number_float()) return value.get<double>();
  if (value == "NaN" && IsFloat(field.type)) return std::numeric_limits<double>::quiet_NaN();
  if (value == "Infinity" && IsFloat(field.type)) return std::numeric_limits<double>::infinity();
  if (value == "-Infinity" && IsFloat(field.type)) return -std::numeric_limits<double>::infinity();
  return Wrong(field, value.dump(), "is no number");
}

absl::StatusOr<Number> NumberOf(const Field& field, absl::string_view text) {
  uint64_t whole = 0;
  int64_t negative = 0;
  double real = 0;
  if (text == "true" || text == "false") return text == "true";
  if (absl::SimpleAtoi(text, &whole)) return whole;
  if (absl::SimpleAtoi(text, &negative)) return negative;
  if (absl::SimpleAtod(text, &real)) return real;
  return Wrong(field, absl::StrCat("\"", text, "\""), "is no number");
}

template <typename Value>
absl::Status StoreNumber(const Field& field, const Value& value, absl::string_view shown, std::byte* bytes) {
  const absl::StatusOr<Number> number = NumberOf(field, value);
  if (!number.ok()) return number.status();
  if (!Store(field.type, *number, bytes)) return Wrong(field, shown, "does not fit");
  return absl::OkStatus();
}

absl::Status StoreJson(const Field& field, const ordered_json& value, std::byte* bytes) {
  if (field.type == ScalarType::kChar) {
    if (!value.is_string()) return Wrong(field, value.dump(), "is no string");
    return StoreString(field, value.get_ref<const std::string&>(), bytes);
  }
  if (field.count == 1) return StoreNumber(field, value, value.dump(), bytes);
  if (!value.is_array() || value.size() != field.count) {
    return Wrong(field, value.dump(), absl::StrCat("is no array of ", field.count, " values"));
  }
  for (size_t i = 0; i < value.size(); ++i) {
    absl::Status status = StoreNumber(field, value[i], value[i].dump(), bytes + i * shm::BytesOf(field.type));
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status CheckRoom(size_t wanted_bytes, std::span<std::byte> payload) {
  if (wanted_bytes <= payload.size()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("it is ", wanted_bytes, " bytes, and a slot has room for ",
                                                 payload.size(), "; say --slot-bytes ", wanted_bytes));
}

// A header's name for one value.
std::string ColumnName(const Field& field, uint32_t index) {
  const bool alone = field.count == 1 || field.type == ScalarType::kChar;
  return alone ? field.name : absl::StrCat(field.name, "[", index, "]");
}

}  // namespace

absl::Status Encoder::RecordFromJson(const ordered_json& object, std::span<std::byte> record) const {
  if (!object.is_object()) return absl::InvalidArgumentError("a record must be an object keyed by field");
  for (const auto& [name, value] : object.items()) {
    const auto has_name = [&, &wanted = name](const Field& field) { return field.name == wanted; };
    if (std::none_of(schema_.fields.begin(), schema_.fields.end(), has_name)) {
      return absl::InvalidArgumentError(absl::StrCat("the schema has no field '", name, "'"));
    }
  }
  std::fill(record.begin(), record.end(), std::byte{0});
  for (const Field& field : schema_.fields) {
    const auto value = object.find(field.name);
    if (value == object.end())
      return absl::InvalidArgumentError(absl::StrCat("field '", field.name, "' is missing"));
    absl::Status status = StoreJson(field, *value, record.data() + field.offset_bytes);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::StatusOr<size_t> Encoder::FromJson(absl::string_view line, std::span<std::byte> payload) const {
  const ordered_json json =
      ordered_json::parse(line.begin(), line.end(), nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return absl::InvalidArgumentError("this is no JSON");
  const bool is_slot = json.is_object() && json.contains("records") && json["records"].is_array();
  const ordered_json records = is_slot ? json["records"] : ordered_json::array({json});
  if (records.empty()) return absl::InvalidArgumentError("it has no records");
  const size_t payload_bytes = records.size() * schema_.record_bytes;
  if (absl::Status status = CheckRoom(payload_bytes, payload); !status.ok()) return status;
  for (size_t i = 0; i < records.size(); ++i) {
    absl::Status status =
        RecordFromJson(records[i], payload.subspan(i * schema_.record_bytes, schema_.record_bytes));
    if (!status.ok()) return status;
  }
  return payload_bytes;
}

absl::StatusOr<std::vector<Encoder::Cell>> Encoder::Columns(const std::vector<std::string>& header) const {
  std::vector<Cell> columns(header.size());
  std::set<std::string> missing(header.begin(), header.end());
  if (missing.size() != header.size()) return absl::InvalidArgumentError("a column is named twice");
  size_t values = 0;
  for (size_t i = 0; i < schema_.fields.size(); ++i) {
    const Field& field = schema_.fields[i];
    for (uint32_t index = 0; index < (field.type == ScalarType::kChar ? 1 : field.count); ++index, ++values) {
      const std::string name = ColumnName(field, index);
      const auto found = std::find(header.begin(), header.end(), name);
      if (found == header.end()) {
        return absl::InvalidArgumentError(absl::StrCat("the header has no column '", name, "'"));
      }
      columns[static_cast<size_t>(found - header.begin())] = {.field = i, .index = index};
      missing.erase(name);
    }
  }
  if (!missing.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("the schema has no field '", *missing.begin(), "'"));
  }
  return columns;
}

absl::StatusOr<size_t> Encoder::FromCsv(const std::vector<Cell>& columns, const std::vector<std::string>& row,
                                        std::span<std::byte> payload) const {
  if (row.size() != columns.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("it has ", row.size(), " cells, and the header ", columns.size()));
  }
  if (absl::Status status = CheckRoom(schema_.record_bytes, payload); !status.ok()) return status;
  std::fill_n(payload.begin(), schema_.record_bytes, std::byte{0});
  for (size_t i = 0; i < row.size(); ++i) {
    const Field& field = schema_.fields[columns[i].field];
    std::byte* bytes = payload.data() + field.offset_bytes + columns[i].index * shm::BytesOf(field.type);
    absl::Status status = field.type == ScalarType::kChar
                              ? StoreString(field, row[i], bytes)
                              : StoreNumber(field, absl::string_view(row[i]), row[i], bytes);
    if (!status.ok()) return status;
  }
  return schema_.record_bytes;
}

absl::StatusOr<std::vector<std::string>> SplitCsv(absl::string_view line) {
  std::vector<std::string> cells(1);
  bool quoted = false;
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quoted && c == '"' && i + 1 < line.size() && line[i + 1] == '"') {
      cells.back() += '"';
      ++i;
    } else if (c == '"') {
      quoted = !quoted;
    } else if (c == ',' && !quoted) {
      cells.emplace_back();
    } else {
      cells.back() += c;
    }
  }
  if (quoted) return absl::InvalidArgumentError("a quote is not closed; a cell may not hold a line's end");
  return cells;
}

}  // namespace pylabhub::cli
