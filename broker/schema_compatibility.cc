#include "broker/schema_compatibility.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "proto/schema/canonical.h"

namespace pylabhub::broker {
namespace {

using schema::Leaf;

constexpr size_t kMaxInWords = 4;
constexpr size_t kMaxQuotedBytes = 64;

std::string Quoted(absl::string_view text) {
  const std::string escaped = absl::Utf8SafeCHexEscape(text.substr(0, kMaxQuotedBytes));
  return absl::StrCat("\"", escaped, text.size() > kMaxQuotedBytes ? "..." : "", "\"");
}

// "int16[3] at byte 8"
std::string Describe(const Leaf& leaf) {
  return absl::StrCat(schema::NameOf(leaf.type), leaf.count == 1 ? "" : absl::StrCat("[", leaf.count, "]"),
                      " at byte ", leaf.offset_bytes);
}

// The names of each value, sorted; several names of one value as one text.
std::map<int64_t, std::string> NamesOfValues(const v1::Field& field) {
  std::map<int64_t, std::set<std::string>> sorted;
  for (const v1::EnumValue& value : field.enum_values()) sorted[value.number()].insert(value.name());
  std::map<int64_t, std::string> names;
  for (const auto& [number, of_number] : sorted) names[number] = absl::StrJoin(of_number, ", ");
  return names;
}

// The width of a difference: a comparison is as compatible as its widest.
v1::Compatibility WidthOf(const v1::SchemaDifference& difference, bool record_grew) {
  switch (difference.kind()) {
    case v1::SCHEMA_DIFFERENCE_KIND_FIELD_ADDED:
      return v1::COMPATIBILITY_APPENDED;
    case v1::SCHEMA_DIFFERENCE_KIND_SIZE_CHANGED:
      return record_grew ? v1::COMPATIBILITY_APPENDED : v1::COMPATIBILITY_INCOMPATIBLE;
    case v1::SCHEMA_DIFFERENCE_KIND_FIELD_RENAMED:
    case v1::SCHEMA_DIFFERENCE_KIND_UNIT_CHANGED:
    case v1::SCHEMA_DIFFERENCE_KIND_ENUM_VALUE_CHANGED:
    case v1::SCHEMA_DIFFERENCE_KIND_ALIGNMENT_CHANGED:
    case v1::SCHEMA_DIFFERENCE_KIND_NAME_CHANGED:
      return v1::COMPATIBILITY_SAME_LAYOUT;
    default:
      return v1::COMPATIBILITY_INCOMPATIBLE;
  }
}

class Comparer {
 public:
  Comparer(const v1::Schema& older, const v1::Schema& newer)
      : older_(older),
        newer_(newer),
        older_leaves_(schema::LeavesOf(older)),
        newer_leaves_(schema::LeavesOf(newer)) {}

  SchemaComparison Run() {
    CompareRecords();
    PairUp();
    for (size_t i = 0; i < older_leaves_.size(); ++i) {
      const int partner = partner_of_older_[i];
      if (partner >= 0) {
        CompareFields(i, newer_leaves_[partner]);
      } else {
        Add(older_leaves_[i], i, v1::SCHEMA_DIFFERENCE_KIND_FIELD_REMOVED, Describe(older_leaves_[i]), "");
      }
    }
    for (size_t i = 0; i < newer_leaves_.size(); ++i) {
      if (is_paired_newer_[i]) continue;
      Add(newer_leaves_[i], i, v1::SCHEMA_DIFFERENCE_KIND_FIELD_ADDED, "", Describe(newer_leaves_[i]));
    }
    std::stable_sort(found_.begin(), found_.end(),
                     [](const Found& a, const Found& b) { return a.offset_bytes < b.offset_bytes; });
    SchemaComparison comparison;
    const bool record_grew = newer_.size_bytes() > older_.size_bytes();
    for (Found& found : found_) {
      comparison.compatibility =
          std::max(comparison.compatibility, WidthOf(found.difference.difference, record_grew));
      comparison.differences.push_back(std::move(found.difference));
    }
    return comparison;
  }

 private:
  struct Found {
    int64_t offset_bytes;  // -1: of the record as a whole
    SchemaDifference difference;
  };

  void CompareRecords() {
    if (older_.name() != newer_.name()) {
      AddOfRecord(v1::SCHEMA_DIFFERENCE_KIND_NAME_CHANGED, older_.name(), newer_.name());
    }
    if (older_.size_bytes() != newer_.size_bytes()) {
      AddOfRecord(v1::SCHEMA_DIFFERENCE_KIND_SIZE_CHANGED, absl::StrCat(older_.size_bytes()),
                  absl::StrCat(newer_.size_bytes()));
    }
    if (older_.alignment_bytes() != newer_.alignment_bytes()) {
      const auto text = [](uint32_t bytes) { return bytes == 0 ? "" : absl::StrCat(bytes); };
      AddOfRecord(v1::SCHEMA_DIFFERENCE_KIND_ALIGNMENT_CHANGED, text(older_.alignment_bytes()),
                  text(newer_.alignment_bytes()));
    }
  }

  // First by place, then by name.
  void PairUp() {
    partner_of_older_.assign(older_leaves_.size(), -1);
    is_paired_newer_.assign(newer_leaves_.size(), false);
    absl::flat_hash_map<std::tuple<uint64_t, int, uint64_t>, int> by_place;
    for (size_t i = 0; i < newer_leaves_.size(); ++i) {
      const Leaf& leaf = newer_leaves_[i];
      by_place[{leaf.offset_bytes, leaf.type, leaf.count}] = static_cast<int>(i);
    }
    for (size_t i = 0; i < older_leaves_.size(); ++i) {
      const Leaf& leaf = older_leaves_[i];
      const auto found = by_place.find({leaf.offset_bytes, leaf.type, leaf.count});
      if (found != by_place.end()) Pair(i, found->second);
    }
    absl::flat_hash_map<absl::string_view, int> by_path;
    for (size_t i = 0; i < newer_leaves_.size(); ++i) {
      if (!is_paired_newer_[i]) by_path[newer_leaves_[i].path] = static_cast<int>(i);
    }
    for (size_t i = 0; i < older_leaves_.size(); ++i) {
      const auto found = by_path.find(older_leaves_[i].path);
      if (partner_of_older_[i] < 0 && found != by_path.end()) Pair(i, found->second);
    }
  }

  void Pair(size_t older, int newer) {
    partner_of_older_[older] = newer;
    is_paired_newer_[newer] = true;
  }

  void CompareFields(size_t index, const Leaf& newer) {
    const Leaf& older = older_leaves_[index];
    if (older.path != newer.path) {
      Add(older, index, v1::SCHEMA_DIFFERENCE_KIND_FIELD_RENAMED, older.path, newer.path);
    }
    if (older.type != newer.type) {
      Add(older, index, v1::SCHEMA_DIFFERENCE_KIND_TYPE_CHANGED, schema::NameOf(older.type),
          schema::NameOf(newer.type));
    }
    if (older.count != newer.count) {
      Add(older, index, v1::SCHEMA_DIFFERENCE_KIND_COUNT_CHANGED, absl::StrCat(older.count),
          absl::StrCat(newer.count));
    }
    if (older.offset_bytes != newer.offset_bytes) {
      Add(older, index, v1::SCHEMA_DIFFERENCE_KIND_OFFSET_CHANGED, absl::StrCat(older.offset_bytes),
          absl::StrCat(newer.offset_bytes));
    }
    if (older.field->unit() != newer.field->unit()) {
      Add(older, index, v1::SCHEMA_DIFFERENCE_KIND_UNIT_CHANGED, older.field->unit(), newer.field->unit());
    }
    CompareEnumValues(index, *newer.field);
  }

  void CompareEnumValues(size_t index, const v1::Field& newer) {
    const Leaf& older = older_leaves_[index];
    const std::map<int64_t, std::string> before = NamesOfValues(*older.field);
    const std::map<int64_t, std::string> after = NamesOfValues(newer);
    std::set<int64_t> numbers;
    for (const auto& [number, names] : before) numbers.insert(number);
    for (const auto& [number, names] : after) numbers.insert(number);
    const auto text = [](const std::map<int64_t, std::string>& names, int64_t number) {
      const auto found = names.find(number);
      return found == names.end() ? "" : absl::StrCat(number, " = ", found->second);
    };
    for (const int64_t number : numbers) {
      std::string was = text(before, number);
      std::string is = text(after, number);
      if (was == is) continue;
      Add(older, index, v1::SCHEMA_DIFFERENCE_KIND_ENUM_VALUE_CHANGED, std::move(was), std::move(is));
    }
  }

  void AddOfRecord(v1::SchemaDifferenceKind kind, std::string before, std::string after) {
    Found& found = found_.emplace_back(Found{.offset_bytes = -1, .difference = {}});
    found.difference.difference.set_kind(kind);
    found.difference.difference.set_before(std::move(before));
    found.difference.difference.set_after(std::move(after));
  }

  void Add(const Leaf& leaf, size_t index, v1::SchemaDifferenceKind kind, std::string before,
           std::string after) {
    AddOfRecord(kind, std::move(before), std::move(after));
    Found& found = found_.back();
    found.offset_bytes = static_cast<int64_t>(leaf.offset_bytes);
    found.difference.field_number = static_cast<uint32_t>(index) + 1;
    found.difference.difference.set_field_path(leaf.path);
  }

  const v1::Schema& older_;
  const v1::Schema& newer_;
  const std::vector<Leaf> older_leaves_;
  const std::vector<Leaf> newer_leaves_;
  std::vector<int> partner_of_older_;  // -1: none
  std::vector<bool> is_paired_newer_;
  std::vector<Found> found_;
};

// What changed, as a noun, and whether its values are quoted.
struct Property {
  absl::string_view noun;
  bool quoted = false;
};

Property PropertyOf(v1::SchemaDifferenceKind kind) {
  switch (kind) {
    case v1::SCHEMA_DIFFERENCE_KIND_FIELD_RENAMED:
    case v1::SCHEMA_DIFFERENCE_KIND_NAME_CHANGED:
      return {"name", true};
    case v1::SCHEMA_DIFFERENCE_KIND_TYPE_CHANGED:
      return {"type"};
    case v1::SCHEMA_DIFFERENCE_KIND_COUNT_CHANGED:
      return {"count"};
    case v1::SCHEMA_DIFFERENCE_KIND_OFFSET_CHANGED:
      return {"offset"};
    case v1::SCHEMA_DIFFERENCE_KIND_UNIT_CHANGED:
      return {"unit", true};
    case v1::SCHEMA_DIFFERENCE_KIND_ENUM_VALUE_CHANGED:
      return {"enumeration value", true};
    case v1::SCHEMA_DIFFERENCE_KIND_SIZE_CHANGED:
      return {"size in bytes"};
    case v1::SCHEMA_DIFFERENCE_KIND_ALIGNMENT_CHANGED:
      return {"alignment in bytes"};
    default:
      return {"description"};
  }
}

std::string Value(const Property& property, const std::string& value) {
  if (value.empty()) return "none";
  return property.quoted ? Quoted(value) : value;
}

}  // namespace

SchemaComparison Compare(const v1::Schema& older, const v1::Schema& newer) {
  return Comparer(older, newer).Run();
}

std::string InWords(const SchemaDifference& found, Voice voice) {
  const v1::SchemaDifference& difference = found.difference;
  const std::string subject = found.field_number == 0 ? "record"
                                                      : absl::StrCat("field ", found.field_number, " ",
                                                                     Quoted(difference.field_path()));
  const bool mismatch = voice == Voice::kMismatch;
  if (difference.kind() == v1::SCHEMA_DIFFERENCE_KIND_FIELD_ADDED) {
    return absl::StrCat(subject, " (", difference.after(), ") ",
                        mismatch ? "is expected, and missing" : "was added");
  }
  if (difference.kind() == v1::SCHEMA_DIFFERENCE_KIND_FIELD_REMOVED) {
    return absl::StrCat(subject, " (", difference.before(), ") ",
                        mismatch ? "is there, and not expected" : "was removed");
  }
  const Property property = PropertyOf(difference.kind());
  return absl::StrCat(subject, ": ", property.noun, mismatch ? " is " : " was ",
                      Value(property, difference.before()), mismatch ? ", expected " : ", is ",
                      Value(property, difference.after()));
}

std::string InWords(const SchemaComparison& comparison, Voice voice) {
  std::vector<std::string> words;
  for (const SchemaDifference& difference : comparison.differences) {
    if (words.size() == kMaxInWords) break;
    words.push_back(InWords(difference, voice));
  }
  const size_t more = comparison.differences.size() - words.size();
  return absl::StrCat(absl::StrJoin(words, "; "), more == 0 ? "" : absl::StrCat("; and ", more, " more"));
}

}  // namespace pylabhub::broker
