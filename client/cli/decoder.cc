#include "client/cli/decoder.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "client/cli/scalar.h"

namespace pylabhub::cli {
namespace {

using nlohmann::ordered_json;
using shm::Field;
using shm::ScalarType;

constexpr size_t kOpaqueBytesShown = 32;

// The shortest text that reads back as the same number.
template <typename T>
std::string NumberText(T value) {
  if constexpr (std::same_as<T, bool>) {
    return value ? "true" : "false";
  } else {
    std::array<char, 32> text;
    const auto [end, error] = std::to_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc() ? std::string(text.data(), end) : "?";
  }
}

template <typename T>
ordered_json NumberJson(T value) {
  if constexpr (std::floating_point<T>) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  }
  if constexpr (std::same_as<T, float>) {
    // Through its shortest text: 0.1f is 0.1, not 0.10000000149.
    return ordered_json::parse(NumberText(value));
  } else {
    return value;
  }
}

bool IsString(const Field& field) { return field.type == ScalarType::kChar; }

absl::string_view StringIn(const Field& field, const std::byte* record) {
  const char* begin = reinterpret_cast<const char*>(record + field.offset_bytes);
  return {begin, strnlen(begin, field.count)};
}

const std::byte* ValueAt(const Field& field, const std::byte* record, uint32_t index) {
  return record + field.offset_bytes + index * shm::BytesOf(field.type);
}

std::string ValuesText(const Field& field, const std::byte* record) {
  if (IsString(field)) return absl::StrCat("\"", absl::Utf8SafeCHexEscape(StringIn(field, record)), "\"");
  std::string text = field.count == 1 ? "" : "[";
  for (uint32_t i = 0; i < field.count; ++i) {
    const auto number = [](auto value) { return NumberText(value); };
    absl::StrAppend(&text, i == 0 ? "" : " ", VisitScalar(field.type, ValueAt(field, record, i), number));
  }
  return field.count == 1 ? text : text + "]";
}

ordered_json ValuesJson(const Field& field, const std::byte* record) {
  if (IsString(field)) return std::string(StringIn(field, record));
  const auto number = [](auto value) { return NumberJson(value); };
  if (field.count == 1) return VisitScalar(field.type, ValueAt(field, record, 0), number);
  ordered_json values = ordered_json::array();
  for (uint32_t i = 0; i < field.count; ++i) {
    values.push_back(VisitScalar(field.type, ValueAt(field, record, i), number));
  }
  return values;
}

absl::string_view AsChars(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string OpaqueText(std::span<const std::byte> payload) {
  const auto shown = payload.first(std::min(payload.size(), kOpaqueBytesShown));
  return absl::StrCat(payload.size(), " bytes  ", absl::BytesToHexString(AsChars(shown)),
                      shown.size() < payload.size() ? "..." : "");
}

}  // namespace

Decoder::Decoder(shm::Schema schema) : schema_(std::move(schema)) {}

std::string Decoder::RecordText(const std::byte* record) const {
  std::string text;
  for (const Field& field : schema_.fields) {
    absl::StrAppend(&text, text.empty() ? "" : "  ", field.name, "=", ValuesText(field, record));
    if (!field.unit.empty()) absl::StrAppend(&text, " ", absl::Utf8SafeCHexEscape(field.unit));
  }
  return text;
}

ordered_json Decoder::RecordJson(const std::byte* record) const {
  ordered_json object = ordered_json::object();
  for (const Field& field : schema_.fields) object[field.name] = ValuesJson(field, record);
  return object;
}

std::string Decoder::Text(std::span<const std::byte> payload) const {
  if (schema_.opaque()) return OpaqueText(payload);
  std::string text;
  for (; payload.size() >= schema_.record_bytes; payload = payload.subspan(schema_.record_bytes)) {
    absl::StrAppend(&text, text.empty() ? "" : " | ", RecordText(payload.data()));
  }
  if (!payload.empty()) absl::StrAppend(&text, text.empty() ? "" : " | ", payload.size(), " trailing bytes");
  return text;
}

ordered_json Decoder::Json(std::span<const std::byte> payload) const {
  if (schema_.opaque()) return {{"base64", absl::Base64Escape(AsChars(payload))}};
  ordered_json records = ordered_json::array();
  for (; payload.size() >= schema_.record_bytes; payload = payload.subspan(schema_.record_bytes)) {
    records.push_back(RecordJson(payload.data()));
  }
  ordered_json object = {{"records", std::move(records)}};
  if (!payload.empty()) object["trailing_bytes"] = payload.size();
  return object;
}

}  // namespace pylabhub::cli
