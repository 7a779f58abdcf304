#include "proto/schema/canonical.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <random>

#include "absl/strings/escaping.h"
#include "shm/describe.h"
#include "shm/schema.h"
#include "tests/proto/schema/random_schema.h"
#include "tests/support/seed.h"

namespace pylabhub::schema {
namespace {

using ::testing::Contains;
using ::testing::Field;
using ::testing::IsEmpty;
using ::testing::SizeIs;

v1::Schema FromText(const std::string& text) {
  v1::Schema schema;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &schema)) << text;
  return schema;
}

const v1::Schema& TempReading() {
  static const auto& schema = *new v1::Schema(FromText(R"(
      name: "TempReading" size_bytes: 16 alignment_bytes: 8
      fields { name: "celsius" type: FIELD_TYPE_FLOAT64 count: 1 unit: "Cel" description: "of the air" }
      fields { name: "timestamp_ns" type: FIELD_TYPE_INT64 count: 1 offset_bytes: 8 unit: "ns" })"));
  return schema;
}

TEST(CanonicalTest, TheTextIsTheDocumentedOneAndTheHashItsSha256) {
  EXPECT_EQ(CanonicalText(TempReading()),
            "pylabhub-schema 1\n"
            "record TempReading 16\n"
            "field celsius float64 1 0 Cel\n"
            "field timestamp_ns int64 1 8 ns\n");
  // printf of the text above | sha256sum
  EXPECT_EQ(absl::BytesToHexString(HashOf(TempReading())),
            "70b4951e2f2378ebcccf48d2fc2f65dfab8f633a48cad4af61a95a0a9bb15f09");
}

enum class Mode : uint16_t { kIdle, kBusy };
struct Point {
  float x;
  float y;
};
PYLABHUB_SCHEMA(Point, (x, "m"), (y, "m"));
struct Everything {
  bool ok;
  char label[7];
  Mode mode;
  int8_t i8;
  int32_t i32;
  uint64_t u64[3];
  Point where;
  double f64;
};
PYLABHUB_SCHEMA(Everything, (ok, ""), (label, ""), (mode, ""), (i8, ""), (i32, ""), (u64, "1"), (where, ""),
                (f64, "m/s 2"));

TEST(CanonicalTest, ANestedMessageHasTheTextAndTheHashOfTheStructItDescribes) {
  const v1::Schema schema = FromText(R"(
      name: "Everything" size_bytes: 56
      fields { name: "ok" type: FIELD_TYPE_BOOL count: 1 }
      fields { name: "label" type: FIELD_TYPE_CHAR count: 7 offset_bytes: 1 }
      fields { name: "mode" type: FIELD_TYPE_UINT16 count: 1 offset_bytes: 8
               enum_values { name: "idle" } enum_values { name: "busy" number: 1 } }
      fields { name: "i8" type: FIELD_TYPE_INT8 count: 1 offset_bytes: 10 }
      fields { name: "i32" type: FIELD_TYPE_INT32 count: 1 offset_bytes: 12 }
      fields { name: "u64" type: FIELD_TYPE_UINT64 count: 3 offset_bytes: 16 unit: "1" }
      fields { name: "where" type: FIELD_TYPE_STRUCT count: 1 offset_bytes: 40 element_size_bytes: 8
               fields { name: "x" type: FIELD_TYPE_FLOAT32 count: 1 unit: "m" }
               fields { name: "y" type: FIELD_TYPE_FLOAT32 count: 1 offset_bytes: 4 unit: "m" } }
      fields { name: "f64" type: FIELD_TYPE_FLOAT64 count: 1 offset_bytes: 48 unit: "m/s 2" })");
  EXPECT_THAT(ViolationsOf(schema, "schema"), IsEmpty());
  const shm::Schema described = shm::SchemaOf<Everything>();
  EXPECT_EQ(CanonicalText(schema), shm::CanonicalText(described));
  EXPECT_EQ(absl::BytesToHexString(HashOf(schema)), shm::ToHex(shm::HashOf(described)));
}

TEST(CanonicalTest, TheDataPlaneReadsTheTextOfAnyValidSchemaAndHashesItTheSame) {
  std::mt19937_64 random(testing::Seed());
  for (int i = 0; i < 1000; ++i) {
    const v1::Schema schema = testing::RandomSchema(random);
    ASSERT_THAT(ViolationsOf(schema, "schema"), IsEmpty()) << schema.DebugString();
    const absl::StatusOr<shm::Schema> parsed = shm::ParseCanonicalText(CanonicalText(schema));
    ASSERT_TRUE(parsed.ok()) << parsed.status() << CanonicalText(schema);
    EXPECT_EQ(absl::BytesToHexString(HashOf(schema)), shm::ToHex(shm::HashOf(*parsed)));
  }
}

TEST(CanonicalTest, AChangedSchemaStaysValidAndHasAnotherHashUnlessOnlyTheTextLeavesItOut) {
  std::mt19937_64 random(testing::Seed());
  for (int i = 0; i < 200; ++i) {
    for (const testing::Mutation& mutation : testing::AllMutations()) {
      const v1::Schema before = testing::RandomSchema(random);
      v1::Schema after = before;
      if (!mutation.apply(after, random)) continue;
      ASSERT_THAT(ViolationsOf(after, "schema"), IsEmpty()) << after.DebugString();
      const bool in_text = mutation.kind != v1::SCHEMA_DIFFERENCE_KIND_ENUM_VALUE_CHANGED &&
                           mutation.kind != v1::SCHEMA_DIFFERENCE_KIND_ALIGNMENT_CHANGED;
      EXPECT_EQ(HashOf(before) != HashOf(after), in_text) << before.DebugString() << after.DebugString();
    }
  }
}

TEST(CanonicalTest, EveryScalarTypeHasAWordAndASizeThatTheDataPlaneKnows) {
  for (int i = v1::FIELD_TYPE_BOOL; i <= v1::FIELD_TYPE_CHAR; ++i) {
    v1::Schema schema = TempReading();
    schema.mutable_fields(0)->set_type(static_cast<v1::FieldType>(i));
    const absl::StatusOr<shm::Schema> parsed = shm::ParseCanonicalText(CanonicalText(schema));
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(std::string(shm::NameOf(parsed->fields[0].type)), NameOf(static_cast<v1::FieldType>(i)));
    EXPECT_EQ(shm::BytesOf(parsed->fields[0].type), BytesOf(static_cast<v1::FieldType>(i)));
  }
}

TEST(CanonicalTest, OpaqueBytesAreARecordOfNoSizeWithoutFields) {
  v1::Schema schema;
  schema.set_name("bytes");
  EXPECT_THAT(ViolationsOf(schema, "schema"), IsEmpty());
  EXPECT_EQ(absl::BytesToHexString(HashOf(schema)), shm::ToHex(shm::HashOf(shm::Schema::Opaque())));
}

struct Breach {
  const char* field;
  void (*apply)(v1::Schema& schema);
};

TEST(CanonicalTest, EachRuleThatIsBrokenIsNamedByItsField) {
  const Breach breaches[] = {
      {"s.name", [](v1::Schema& s) { s.set_name("has a space"); }},
      {"s.name", [](v1::Schema& s) { s.set_name(std::string(129, 'a')); }},
      {"s.size_bytes", [](v1::Schema& s) { s.set_size_bytes(uint64_t{1} << 32); }},
      {"s.alignment_bytes", [](v1::Schema& s) { s.set_alignment_bytes(3); }},
      {"s.alignment_bytes", [](v1::Schema& s) { s.set_alignment_bytes(8192); }},
      {"s.fields", [](v1::Schema& s) { s.set_size_bytes(0); }},
      {"s.fields", [](v1::Schema& s) { s.clear_fields(); }},
      {"s.fields[0].name", [](v1::Schema& s) { s.mutable_fields(0)->set_name("a.b"); }},
      {"s.fields[1].name", [](v1::Schema& s) { s.mutable_fields(1)->set_name("celsius"); }},
      {"s.fields[0].type", [](v1::Schema& s) { s.mutable_fields(0)->set_type(v1::FIELD_TYPE_BYTE); }},
      {"s.fields[0].type", [](v1::Schema& s) { s.mutable_fields(0)->clear_type(); }},
      {"s.fields[0].type",
       [](v1::Schema& s) { s.mutable_fields(0)->set_type(static_cast<v1::FieldType>(99)); }},
      {"s.fields[0].count", [](v1::Schema& s) { s.mutable_fields(0)->set_count(0); }},
      {"s.fields[0].count", [](v1::Schema& s) { s.mutable_fields(0)->set_count(uint64_t{1} << 63); }},
      {"s.fields[1].offset_bytes", [](v1::Schema& s) { s.mutable_fields(1)->set_offset_bytes(7); }},
      {"s.fields[1].offset_bytes", [](v1::Schema& s) { s.mutable_fields(1)->set_offset_bytes(9); }},
      {"s.fields[1].offset_bytes",
       [](v1::Schema& s) { s.mutable_fields(1)->set_offset_bytes(~uint64_t{0}); }},
      {"s.fields[0].unit", [](v1::Schema& s) { s.mutable_fields(0)->set_unit("a\nb"); }},
      {"s.fields[0].unit", [](v1::Schema& s) { s.mutable_fields(0)->set_unit(std::string(65, 'm')); }},
      {"s.fields[0].element_size_bytes",
       [](v1::Schema& s) { s.mutable_fields(0)->set_element_size_bytes(8); }},
      {"s.fields[0].fields", [](v1::Schema& s) { s.mutable_fields(0)->add_fields(); }},
      {"s.fields[0].fields", [](v1::Schema& s) { s.mutable_fields(0)->set_type(v1::FIELD_TYPE_STRUCT); }},
      {"s.fields[0].enum_values",
       [](v1::Schema& s) { s.mutable_fields(0)->add_enum_values()->set_name("OF_A_FLOAT"); }},
      {"s.fields[1].enum_values", [](v1::Schema& s) { s.mutable_fields(1)->add_enum_values(); }},
      {"s.fields[0].enum_values",
       [](v1::Schema& s) {
         s.mutable_fields(0)->set_type(v1::FIELD_TYPE_UINT8);
         s.mutable_fields(0)->add_enum_values()->set_name("TOO_LARGE");
         s.mutable_fields(0)->mutable_enum_values(0)->set_number(256);
       }},
      {"s.fields[0].description",
       [](v1::Schema& s) { s.mutable_fields(0)->set_description(std::string(257, 'd')); }},
  };
  ASSERT_THAT(ViolationsOf(TempReading(), "s"), IsEmpty());
  for (const Breach& breach : breaches) {
    v1::Schema schema = TempReading();
    breach.apply(schema);
    EXPECT_THAT(ViolationsOf(schema, "s"), Contains(Field(&Violation::field, breach.field)))
        << schema.DebugString();
  }
}

TEST(CanonicalTest, TooManyFieldsTooDeepOrTooLongAreRefusedWithoutEndlessTalk) {
  v1::Schema many = TempReading();
  many.set_size_bytes(4000);
  many.clear_fields();
  for (int i = 0; i < 1025; ++i) {
    v1::Field& field = *many.add_fields();
    field.set_name("f" + std::to_string(i));
    field.set_type(v1::FIELD_TYPE_INT8);
    field.set_count(1);
    field.set_offset_bytes(static_cast<uint64_t>(i));
  }
  EXPECT_THAT(ViolationsOf(many, "s"), Contains(Field(&Violation::field, "s.fields")));
  many.mutable_fields()->RemoveLast();
  EXPECT_THAT(ViolationsOf(many, "s"), IsEmpty());
  for (v1::Field& field : *many.mutable_fields()) field.clear_name();
  EXPECT_THAT(ViolationsOf(many, "s"), SizeIs(8));

  v1::Schema deep;
  deep.set_name("Deep");
  deep.set_size_bytes(1);
  auto* fields = deep.mutable_fields();
  for (int i = 0; i < 17; ++i) {
    v1::Field& field = *fields->Add();
    field.set_name("inner");
    field.set_count(1);
    field.set_type(i < 16 ? v1::FIELD_TYPE_STRUCT : v1::FIELD_TYPE_INT8);
    if (i < 16) field.set_element_size_bytes(1);
    fields = field.mutable_fields();
  }
  EXPECT_FALSE(ViolationsOf(deep, "s").empty());
}

}  // namespace
}  // namespace pylabhub::schema
