#include "proto/schema/canonical.h"

#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>

#include <algorithm>
#include <limits>
#include <set>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace pylabhub::schema {
namespace {

constexpr size_t kMaxViolations = 8;
constexpr size_t kMaxNameBytes = 128;
constexpr size_t kMaxUnitBytes = 64;
constexpr size_t kMaxDescriptionBytes = 256;
constexpr int kMaxFields = 1024;
constexpr int kMaxEnumValues = 1024;
constexpr int kMaxDepth = 16;
constexpr uint32_t kMaxAlignmentBytes = 4096;
constexpr uint64_t kMax32 = std::numeric_limits<uint32_t>::max();

constexpr uint64_t kBytesOfType[] = {0, 1, 1, 2, 4, 8, 1, 2, 4, 8, 4, 8, 1, 1, 0};
static_assert(std::size(kBytesOfType) == v1::FieldType_ARRAYSIZE);

bool IsName(absl::string_view name, absl::string_view more) {
  const auto is_start = [](char c) { return absl::ascii_isalpha(c) || c == '_'; };
  if (name.empty() || name.size() > kMaxNameBytes || !is_start(name[0])) return false;
  return std::all_of(name.begin(), name.end(), [&](char c) {
    return is_start(c) || absl::ascii_isdigit(c) || more.find(c) != absl::string_view::npos;
  });
}

bool IsUnit(absl::string_view unit) {
  return unit.size() <= kMaxUnitBytes &&
         std::none_of(unit.begin(), unit.end(), [](char c) { return absl::ascii_iscntrl(c); });
}

bool IsSigned(v1::FieldType type) { return type >= v1::FIELD_TYPE_INT8 && type <= v1::FIELD_TYPE_INT64; }
bool IsInteger(v1::FieldType type) { return type >= v1::FIELD_TYPE_INT8 && type <= v1::FIELD_TYPE_UINT64; }

bool Holds(v1::FieldType type, int64_t number) {
  const uint64_t bits = 8 * BytesOf(type);
  if (bits == 64) return true;
  if (!IsSigned(type)) return number >= 0 && number < int64_t{1} << bits;
  return number >= -(int64_t{1} << (bits - 1)) && number < int64_t{1} << (bits - 1);
}

// Walks a schema and collects what is wrong with it.
class Checker {
 public:
  void Check(const v1::Schema& schema, absl::string_view field) {
    Require(IsName(schema.name(), ":."), field, ".name", "must match [A-Za-z_][A-Za-z0-9_:.]{0,127}");
    Require(schema.size_bytes() <= kMax32, field, ".size_bytes", "must be at most 4294967295");
    const uint32_t alignment = schema.alignment_bytes();
    Require(alignment <= kMaxAlignmentBytes && (alignment & (alignment - 1)) == 0, field, ".alignment_bytes",
            "must be 0 or a power of two from 1 to 4096");
    if (schema.size_bytes() == 0) {
      Require(schema.fields().empty(), field, ".fields",
              "must be empty, since size_bytes is 0: opaque bytes");
    } else {
      Require(!schema.fields().empty(), field, ".fields", "must not be empty, since size_bytes is not 0");
    }
    CheckMembers(schema.fields(), field, "", schema.size_bytes(), 1);
  }

  std::vector<Violation> Take() { return std::move(violations_); }

 private:
  using Fields = google::protobuf::RepeatedPtrField<v1::Field>;

  void Require(bool holds, absl::string_view field, absl::string_view member, absl::string_view rule) {
    if (holds || violations_.size() == kMaxViolations) return;
    violations_.push_back({absl::StrCat(field, member), std::string(rule)});
  }

  // `prefix` are the names that enclose `fields`, each with its dot; `size_bytes` the size of what holds them.
  void CheckMembers(const Fields& fields, absl::string_view parent, const std::string& prefix,
                    uint64_t size_bytes, int depth) {
    if (depth > kMaxDepth) return Require(false, parent, ".fields", "must be at most 16 levels deep");
    absl::flat_hash_set<absl::string_view> names;
    uint64_t end_bytes = 0;
    for (int i = 0; i < fields.size() && violations_.size() < kMaxViolations; ++i) {
      if (++field_count_ > kMaxFields) {
        return Require(false, parent, ".fields", "must be at most 1024 with those nested");
      }
      const std::string path = absl::StrCat(parent, ".fields[", i, "]");
      Require(names.insert(fields[i].name()).second, path, ".name", "must be unique among its siblings");
      end_bytes = CheckField(fields[i], path, prefix, end_bytes, size_bytes, depth);
    }
  }

  // Answers where the field ends.
  uint64_t CheckField(const v1::Field& field, absl::string_view path, const std::string& prefix,
                      uint64_t last_end_bytes, uint64_t size_bytes, int depth) {
    const bool is_struct = field.type() == v1::FIELD_TYPE_STRUCT;
    Require(IsName(field.name(), ""), path, ".name", "must match [A-Za-z_][A-Za-z0-9_]*");
    Require(prefix.size() + field.name().size() <= kMaxNameBytes, path, ".name",
            "must be at most 128 bytes together with the names that enclose it");
    Require(is_struct || BytesOf(field.type()) != 0, path, ".type",
            "must be a FieldType that this broker knows");
    Require(field.type() != v1::FIELD_TYPE_BYTE, path, ".type",
            "must not be FIELD_TYPE_BYTE: leave such bytes out");
    Require(field.count() >= 1 && field.count() <= kMax32, path, ".count", "must be 1 to 4294967295");
    Require(field.description().size() <= kMaxDescriptionBytes, path, ".description",
            "must be at most 256 bytes");
    if (is_struct) {
      CheckStruct(field, path, prefix, depth);
    } else {
      CheckScalar(field, path);
    }
    const uint64_t element_bytes = is_struct ? field.element_size_bytes() : BytesOf(field.type());
    if (field.offset_bytes() > kMax32 || field.count() > kMax32 || element_bytes > kMax32) {
      Require(false, path, ".offset_bytes", "must leave the field within its struct");
      return last_end_bytes;
    }
    Require(field.offset_bytes() >= last_end_bytes, path, ".offset_bytes",
            absl::StrCat("must be at least ", last_end_bytes, ", where the field before ends"));
    const uint64_t end_bytes = field.offset_bytes() + field.count() * element_bytes;
    Require(end_bytes <= size_bytes, path, ".offset_bytes",
            absl::StrCat("must leave the field within its struct: it ends at byte ", end_bytes, " of ",
                         size_bytes));
    return end_bytes;
  }

  void CheckStruct(const v1::Field& field, absl::string_view path, const std::string& prefix, int depth) {
    Require(field.count() == 1, path, ".count", "must be 1 for a struct: list its members as arrays");
    Require(field.unit().empty(), path, ".unit", "must be empty for a struct: its members have units");
    Require(field.enum_values().empty(), path, ".enum_values", "must be empty: a struct is no enumeration");
    Require(!field.fields().empty(), path, ".fields", "must list the struct's members");
    CheckMembers(field.fields(), path, absl::StrCat(prefix, field.name(), "."), field.element_size_bytes(),
                 depth + 1);
  }

  void CheckScalar(const v1::Field& field, absl::string_view path) {
    Require(IsUnit(field.unit()), path, ".unit", "must be at most 64 bytes, with no control character");
    Require(field.fields().empty(), path, ".fields", "must be empty unless type is FIELD_TYPE_STRUCT");
    Require(field.element_size_bytes() == 0, path, ".element_size_bytes",
            "must be 0 unless type is FIELD_TYPE_STRUCT");
    Require(field.enum_values().empty() || IsInteger(field.type()), path, ".enum_values",
            "must be empty unless type is an integer");
    Require(field.enum_values_size() <= kMaxEnumValues, path, ".enum_values", "must be at most 1024");
    absl::flat_hash_set<absl::string_view> names;
    bool names_hold = true;
    bool numbers_hold = true;
    for (const v1::EnumValue& value : field.enum_values()) {
      names_hold = names_hold && !value.name().empty() && value.name().size() <= kMaxNameBytes &&
                   names.insert(value.name()).second;
      numbers_hold = numbers_hold && Holds(field.type(), value.number());
    }
    Require(names_hold, path, ".enum_values", "must have names of 1 to 128 bytes, each once");
    Require(numbers_hold || !IsInteger(field.type()), path, ".enum_values",
            "must have numbers that the field's type can hold");
  }

  int field_count_ = 0;
  std::vector<Violation> violations_;
};

void AddLeaves(const google::protobuf::RepeatedPtrField<v1::Field>& fields, const std::string& prefix,
               uint64_t base_bytes, std::vector<Leaf>& leaves) {
  for (const v1::Field& field : fields) {
    std::string path = absl::StrCat(prefix, field.name());
    const uint64_t offset_bytes = base_bytes + field.offset_bytes();
    if (field.type() == v1::FIELD_TYPE_STRUCT) {
      AddLeaves(field.fields(), absl::StrCat(path, "."), offset_bytes, leaves);
    } else {
      leaves.push_back({.path = std::move(path),
                        .type = field.type(),
                        .count = field.count(),
                        .offset_bytes = offset_bytes,
                        .field = &field});
    }
  }
}

std::string Sha256(const std::string& text) {
  std::string hash(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const uint8_t*>(text.data()), text.size(), reinterpret_cast<uint8_t*>(hash.data()));
  return hash;
}

}  // namespace

std::vector<Violation> ViolationsOf(const v1::Schema& schema, absl::string_view field) {
  Checker checker;
  checker.Check(schema, field);
  return checker.Take();
}

std::vector<Leaf> LeavesOf(const v1::Schema& schema) {
  std::vector<Leaf> leaves;
  AddLeaves(schema.fields(), "", 0, leaves);
  return leaves;
}

std::string NameOf(v1::FieldType type) {
  const std::string& name = v1::FieldType_Name(type);
  constexpr size_t kPrefixBytes = sizeof("FIELD_TYPE_") - 1;
  return name.empty() ? "unknown" : absl::AsciiStrToLower(name.substr(kPrefixBytes));
}

uint64_t BytesOf(v1::FieldType type) { return v1::FieldType_IsValid(type) ? kBytesOfType[type] : 0; }

std::string CanonicalText(const v1::Schema& schema) {
  std::string text =
      absl::StrCat("pylabhub-schema 1\nrecord ", schema.name(), " ", schema.size_bytes(), "\n");
  for (const Leaf& leaf : LeavesOf(schema)) {
    absl::StrAppend(&text, "field ", leaf.path, " ", NameOf(leaf.type), " ", leaf.count, " ",
                    leaf.offset_bytes, " ", leaf.field->unit(), "\n");
  }
  return text;
}

std::string HashOf(const v1::Schema& schema) { return Sha256(CanonicalText(schema)); }

std::string FingerprintOf(const v1::Schema& schema) {
  std::string text = absl::StrCat(CanonicalText(schema), "alignment ", schema.alignment_bytes(), "\n");
  for (const Leaf& leaf : LeavesOf(schema)) {
    std::set<std::pair<int64_t, absl::string_view>> values;
    for (const v1::EnumValue& value : leaf.field->enum_values()) values.emplace(value.number(), value.name());
    // With its length, since a name may have any byte in it.
    for (const auto& [number, name] : values) {
      absl::StrAppend(&text, "value ", leaf.path, " ", number, " ", name.size(), " ", name, "\n");
    }
  }
  return Sha256(text);
}

}  // namespace pylabhub::schema
