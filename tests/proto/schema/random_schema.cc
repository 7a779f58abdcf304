#include "tests/proto/schema/random_schema.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "proto/schema/canonical.h"

namespace pylabhub::testing {
namespace {

using Fields = google::protobuf::RepeatedPtrField<v1::Field>;
using Random = std::mt19937_64;

constexpr int kMaxDepth = 3;

uint64_t Below(Random& random, uint64_t end) { return random() % end; }

bool IsInteger(const v1::Field& field) {
  return field.type() >= v1::FIELD_TYPE_INT8 && field.type() <= v1::FIELD_TYPE_UINT64;
}

// Answers the bytes that `fields` take.
uint64_t AddRandomFields(Random& random, int depth, Fields& fields) {
  uint64_t end_bytes = 0;
  const uint64_t count = 1 + Below(random, 6);
  for (uint64_t i = 0; i < count; ++i) {
    v1::Field& field = *fields.Add();
    field.set_name(absl::StrCat("f", i));
    field.set_count(1);
    field.set_offset_bytes(end_bytes + Below(random, 3));
    if (depth < kMaxDepth && Below(random, 4) == 0) {
      field.set_type(v1::FIELD_TYPE_STRUCT);
      field.set_element_size_bytes(AddRandomFields(random, depth + 1, *field.mutable_fields()) +
                                   Below(random, 3));
      end_bytes = field.offset_bytes() + field.element_size_bytes();
      continue;
    }
    field.set_type(static_cast<v1::FieldType>(v1::FIELD_TYPE_BOOL + Below(random, 12)));
    if (Below(random, 3) == 0) field.set_count(1 + Below(random, 9));
    if (Below(random, 2) == 0) field.set_unit(absl::StrCat("m/s", Below(random, 4)));
    for (uint64_t j = 0; IsInteger(field) && j < Below(random, 4); ++j) {
      v1::EnumValue& value = *field.add_enum_values();
      value.set_name(absl::StrCat("VALUE_", j));
      value.set_number(static_cast<int64_t>(j));
    }
    end_bytes = field.offset_bytes() + field.count() * schema::BytesOf(field.type());
  }
  return end_bytes;
}

void AddLeaves(Fields& fields, std::vector<v1::Field*>& leaves) {
  for (v1::Field& field : fields) {
    if (field.type() == v1::FIELD_TYPE_STRUCT) {
      AddLeaves(*field.mutable_fields(), leaves);
    } else {
      leaves.push_back(&field);
    }
  }
}

v1::Field& RandomLeaf(v1::Schema& schema, Random& random) {
  std::vector<v1::Field*> leaves;
  AddLeaves(*schema.mutable_fields(), leaves);
  return *leaves[Below(random, leaves.size())];
}

bool AppendField(v1::Schema& schema, Random&) {
  v1::Field& field = *schema.add_fields();
  field.set_name(absl::StrCat("appended_", schema.size_bytes()));
  field.set_type(v1::FIELD_TYPE_INT32);
  field.set_count(1);
  field.set_offset_bytes(schema.size_bytes());
  schema.set_size_bytes(schema.size_bytes() + 4);
  return true;
}

bool GrowRecord(v1::Schema& schema, Random& random) {
  schema.set_size_bytes(schema.size_bytes() + 1 + Below(random, 8));
  return true;
}

bool RemoveField(v1::Schema& schema, Random& random) {
  if (schema.fields_size() == 1) return false;
  schema.mutable_fields()->DeleteSubrange(
      static_cast<int>(Below(random, static_cast<uint64_t>(schema.fields_size()))), 1);
  return true;
}

bool RenameField(v1::Schema& schema, Random& random) {
  RandomLeaf(schema, random).mutable_name()->append("_new");
  return true;
}

bool ChangeType(v1::Schema& schema, Random& random) {
  v1::Field& field = RandomLeaf(schema, random);
  const v1::FieldType before = field.type();
  v1::FieldType after = before;
  while (after == before || schema::BytesOf(after) != schema::BytesOf(before)) {
    after = static_cast<v1::FieldType>(v1::FIELD_TYPE_BOOL + Below(random, 12));
  }
  field.set_type(after);
  field.clear_enum_values();
  return true;
}

bool ChangeCount(v1::Schema& schema, Random& random) {
  v1::Field& field = RandomLeaf(schema, random);
  if (field.count() == 1) return false;
  field.set_count(field.count() - 1);
  return true;
}

bool MoveField(v1::Schema& schema, Random& random) {
  const uint64_t by_bytes = 1 + Below(random, 8);
  v1::Field& last = *schema.mutable_fields(schema.fields_size() - 1);
  last.set_offset_bytes(last.offset_bytes() + by_bytes);
  schema.set_size_bytes(schema.size_bytes() + by_bytes);
  return true;
}

bool ChangeUnit(v1::Schema& schema, Random& random) {
  RandomLeaf(schema, random).mutable_unit()->append("2");
  return true;
}

bool ChangeEnumValue(v1::Schema& schema, Random& random) {
  v1::Field& field = RandomLeaf(schema, random);
  if (field.enum_values().empty()) return false;
  field.mutable_enum_values(0)->mutable_name()->append("_NEW");
  return true;
}

bool ChangeAlignment(v1::Schema& schema, Random&) {
  schema.set_alignment_bytes(schema.alignment_bytes() == 8 ? 16 : 8);
  return true;
}

bool ChangeName(v1::Schema& schema, Random&) {
  schema.mutable_name()->append("New");
  return true;
}

}  // namespace

v1::Schema RandomSchema(std::mt19937_64& random) {
  v1::Schema schema;
  schema.set_name("lab::Record");
  schema.set_size_bytes(AddRandomFields(random, 1, *schema.mutable_fields()) + Below(random, 3));
  return schema;
}

const std::vector<Mutation>& AllMutations() {
  static const auto& mutations = *new std::vector<Mutation>{
      {AppendField, v1::SCHEMA_DIFFERENCE_KIND_FIELD_ADDED, v1::COMPATIBILITY_APPENDED},
      {GrowRecord, v1::SCHEMA_DIFFERENCE_KIND_SIZE_CHANGED, v1::COMPATIBILITY_APPENDED},
      {RenameField, v1::SCHEMA_DIFFERENCE_KIND_FIELD_RENAMED, v1::COMPATIBILITY_SAME_LAYOUT},
      {ChangeUnit, v1::SCHEMA_DIFFERENCE_KIND_UNIT_CHANGED, v1::COMPATIBILITY_SAME_LAYOUT},
      {ChangeEnumValue, v1::SCHEMA_DIFFERENCE_KIND_ENUM_VALUE_CHANGED, v1::COMPATIBILITY_SAME_LAYOUT},
      {ChangeAlignment, v1::SCHEMA_DIFFERENCE_KIND_ALIGNMENT_CHANGED, v1::COMPATIBILITY_SAME_LAYOUT},
      {ChangeName, v1::SCHEMA_DIFFERENCE_KIND_NAME_CHANGED, v1::COMPATIBILITY_SAME_LAYOUT},
      {RemoveField, v1::SCHEMA_DIFFERENCE_KIND_FIELD_REMOVED, v1::COMPATIBILITY_INCOMPATIBLE},
      {ChangeType, v1::SCHEMA_DIFFERENCE_KIND_TYPE_CHANGED, v1::COMPATIBILITY_INCOMPATIBLE},
      {ChangeCount, v1::SCHEMA_DIFFERENCE_KIND_COUNT_CHANGED, v1::COMPATIBILITY_INCOMPATIBLE},
      {MoveField, v1::SCHEMA_DIFFERENCE_KIND_OFFSET_CHANGED, v1::COMPATIBILITY_INCOMPATIBLE},
  };
  return mutations;
}

}  // namespace pylabhub::testing
