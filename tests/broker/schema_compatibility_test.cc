#include "broker/schema_compatibility.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "proto/schema/canonical.h"
#include "tests/proto/schema/random_schema.h"
#include "tests/support/seed.h"

namespace pylabhub::broker {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

v1::Schema FromText(const std::string& text) {
  v1::Schema schema;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &schema)) << text;
  return schema;
}

v1::Schema Sample() {
  return FromText(R"(
      name: "Sample" size_bytes: 40
      fields { name: "id" type: FIELD_TYPE_UINT32 count: 1 }
      fields { name: "mode" type: FIELD_TYPE_UINT8 count: 1 offset_bytes: 4
               enum_values { name: "OFF" number: 0 } enum_values { name: "ON" number: 1 } }
      fields { name: "celsius" type: FIELD_TYPE_FLOAT64 count: 1 offset_bytes: 8 unit: "degC" }
      fields { name: "pose" type: FIELD_TYPE_STRUCT count: 1 offset_bytes: 16 element_size_bytes: 16
               fields { name: "x" type: FIELD_TYPE_FLOAT64 count: 1 unit: "m" }
               fields { name: "y" type: FIELD_TYPE_FLOAT64 count: 1 offset_bytes: 8 unit: "m" } }
      fields { name: "tag" type: FIELD_TYPE_CHAR count: 8 offset_bytes: 32 })");
}

std::vector<std::string> WordsOf(const SchemaComparison& comparison, Voice voice = Voice::kVersions) {
  std::vector<std::string> words;
  for (const SchemaDifference& difference : comparison.differences) {
    words.push_back(InWords(difference, voice));
  }
  return words;
}

TEST(SchemaCompatibilityTest, AChangedUnitIsNamedWithTheFieldAndBothUnits) {
  v1::Schema newer = Sample();
  newer.mutable_fields(2)->set_unit("K");
  const SchemaComparison comparison = Compare(Sample(), newer);
  EXPECT_EQ(comparison.compatibility, v1::COMPATIBILITY_SAME_LAYOUT);
  EXPECT_THAT(WordsOf(comparison), ElementsAre(R"(field 3 "celsius": unit was "degC", is "K")"));
  EXPECT_THAT(WordsOf(comparison, Voice::kMismatch),
              ElementsAre(R"(field 3 "celsius": unit is "degC", expected "K")"));
}

TEST(SchemaCompatibilityTest, MembersOfStructsAreNamedByTheirPath) {
  v1::Schema newer = Sample();
  v1::Field& y = *newer.mutable_fields(3)->mutable_fields(1);
  y.set_type(v1::FIELD_TYPE_FLOAT32);
  y.set_count(2);
  const SchemaComparison comparison = Compare(Sample(), newer);
  EXPECT_EQ(comparison.compatibility, v1::COMPATIBILITY_INCOMPATIBLE);
  EXPECT_THAT(WordsOf(comparison), ElementsAre(R"(field 5 "pose.y": type was float64, is float32)",
                                               R"(field 5 "pose.y": count was 1, is 2)"));
}

TEST(SchemaCompatibilityTest, AFieldThatIsAppendedLeavesReadersOfTheOlderOneAlone) {
  v1::Schema newer = Sample();
  newer.set_size_bytes(48);
  *newer.add_fields() =
      FromText(R"(fields { name: "humidity" type: FIELD_TYPE_FLOAT32 count: 1 offset_bytes: 40 })").fields(0);
  const SchemaComparison comparison = Compare(Sample(), newer);
  EXPECT_EQ(comparison.compatibility, v1::COMPATIBILITY_APPENDED);
  EXPECT_THAT(WordsOf(comparison), ElementsAre("record: size in bytes was 40, is 48",
                                               R"(field 7 "humidity" (float32 at byte 40) was added)"));
  EXPECT_THAT(WordsOf(Compare(newer, Sample())),
              ElementsAre("record: size in bytes was 48, is 40",
                          R"(field 7 "humidity" (float32 at byte 40) was removed)"));
  EXPECT_EQ(Compare(newer, Sample()).compatibility, v1::COMPATIBILITY_INCOMPATIBLE);
  EXPECT_THAT(WordsOf(comparison, Voice::kMismatch),
              Contains(R"(field 7 "humidity" (float32 at byte 40) is expected, and missing)"));
}

TEST(SchemaCompatibilityTest, AFieldInWhatWasPaddingIsAnAddition) {
  v1::Schema newer = Sample();
  const v1::Field channel =
      FromText(R"(fields { name: "channel" type: FIELD_TYPE_UINT8 count: 1 offset_bytes: 5 })").fields(0);
  *newer.add_fields() = channel;
  std::rotate(newer.mutable_fields()->begin() + 2, newer.mutable_fields()->end() - 1,
              newer.mutable_fields()->end());
  ASSERT_THAT(schema::ViolationsOf(newer, "schema"), IsEmpty());
  const SchemaComparison comparison = Compare(Sample(), newer);
  EXPECT_EQ(comparison.compatibility, v1::COMPATIBILITY_APPENDED);
  EXPECT_THAT(WordsOf(comparison), ElementsAre(R"(field 3 "channel" (uint8 at byte 5) was added)"));
}

TEST(SchemaCompatibilityTest, EveryDifferenceIsListedInTheOrderOfOffsets) {
  v1::Schema newer = Sample();
  newer.set_name("Probe");
  newer.mutable_fields(0)->set_name("serial");
  newer.mutable_fields(1)->mutable_enum_values(1)->set_name("ENABLED");
  newer.mutable_fields(1)->add_enum_values()->set_name("FAULT");
  newer.mutable_fields(1)->mutable_enum_values(2)->set_number(2);
  newer.mutable_fields(4)->set_type(v1::FIELD_TYPE_UINT8);
  const SchemaComparison comparison = Compare(Sample(), newer);
  EXPECT_THAT(
      WordsOf(comparison),
      ElementsAre(R"(record: name was "Sample", is "Probe")", R"(field 1 "id": name was "id", is "serial")",
                  R"(field 2 "mode": enumeration value was "1 = ON", is "1 = ENABLED")",
                  R"(field 2 "mode": enumeration value was none, is "2 = FAULT")",
                  R"(field 6 "tag": type was char, is uint8)"));
  EXPECT_EQ(InWords(comparison, Voice::kVersions),
            R"(record: name was "Sample", is "Probe"; field 1 "id": name was "id", is "serial"; )"
            R"(field 2 "mode": enumeration value was "1 = ON", is "1 = ENABLED"; )"
            R"(field 2 "mode": enumeration value was none, is "2 = FAULT"; and 1 more)");
}

TEST(SchemaCompatibilityTest, TwoFieldsThatSwapTheirNamesKeepTheLayout) {
  v1::Schema newer = Sample();
  newer.mutable_fields(3)->mutable_fields(0)->set_name("y");
  newer.mutable_fields(3)->mutable_fields(1)->set_name("x");
  const SchemaComparison comparison = Compare(Sample(), newer);
  EXPECT_EQ(comparison.compatibility, v1::COMPATIBILITY_SAME_LAYOUT);
  EXPECT_THAT(WordsOf(comparison), ElementsAre(R"(field 4 "pose.x": name was "pose.x", is "pose.y")",
                                               R"(field 5 "pose.y": name was "pose.y", is "pose.x")"));
}

TEST(SchemaCompatibilityTest, DescriptionsAndGroupingIntoStructsAreNoDifference) {
  v1::Schema newer = Sample();
  newer.mutable_fields(0)->set_description("who it is");
  newer.mutable_fields(3)->set_element_size_bytes(16);
  EXPECT_THAT(Compare(Sample(), newer).differences, IsEmpty());
}

class RandomSchemaTest : public ::testing::Test {
 protected:
  // A schema after up to two random changes.
  v1::Schema Changed(v1::Schema schema) {
    const auto& mutations = testing::AllMutations();
    for (uint64_t i = random_() % 3; i > 0; --i) {
      (void)mutations[random_() % mutations.size()].apply(schema, random_);
    }
    return schema;
  }

  std::mt19937_64 random_{testing::Seed()};
};

TEST_F(RandomSchemaTest, AnythingIsIdenticalToItself) {
  for (int i = 0; i < 500; ++i) {
    const v1::Schema schema = testing::RandomSchema(random_);
    const SchemaComparison comparison = Compare(schema, schema);
    EXPECT_EQ(comparison.compatibility, v1::COMPATIBILITY_IDENTICAL);
    EXPECT_THAT(comparison.differences, IsEmpty());
  }
}

TEST_F(RandomSchemaTest, EachKindOfChangeIsCalledByItsName) {
  std::map<v1::SchemaDifferenceKind, int> seen;
  for (int i = 0; i < 2000; ++i) {
    const testing::Mutation& mutation = testing::AllMutations()[i % testing::AllMutations().size()];
    const v1::Schema before = testing::RandomSchema(random_);
    v1::Schema after = before;
    if (!mutation.apply(after, random_)) continue;
    ++seen[mutation.kind];
    const SchemaComparison comparison = Compare(before, after);
    EXPECT_EQ(comparison.compatibility, mutation.compatibility)
        << before.DebugString() << after.DebugString() << InWords(comparison, Voice::kVersions);
    const bool named =
        std::any_of(comparison.differences.begin(), comparison.differences.end(),
                    [&](const SchemaDifference& found) { return found.difference.kind() == mutation.kind; });
    EXPECT_TRUE(named) << mutation.kind << InWords(comparison, Voice::kVersions);
  }
  for (const testing::Mutation& mutation : testing::AllMutations()) EXPECT_GE(seen[mutation.kind], 10);
}

TEST_F(RandomSchemaTest, TheListIsEmptyExactlyIfIdenticalAndGoesInTheOrderOfOffsets) {
  int identical = 0;
  for (int i = 0; i < 2000; ++i) {
    const v1::Schema before = testing::RandomSchema(random_);
    const SchemaComparison comparison = Compare(before, Changed(before));
    EXPECT_EQ(comparison.differences.empty(), comparison.compatibility == v1::COMPATIBILITY_IDENTICAL);
    if (comparison.differences.empty()) ++identical;
    bool fields_began = false;
    for (const SchemaDifference& found : comparison.differences) {
      EXPECT_FALSE(fields_began && found.field_number == 0);
      fields_began = fields_began || found.field_number != 0;
    }
  }
  EXPECT_GT(identical, 0);
  EXPECT_LT(identical, 2000);
}

TEST_F(RandomSchemaTest, FingerprintsAreEqualExactlyIfTheSchemasAreIdentical) {
  for (int i = 0; i < 2000; ++i) {
    const v1::Schema before = testing::RandomSchema(random_);
    const v1::Schema after = Changed(before);
    EXPECT_EQ(schema::FingerprintOf(before) == schema::FingerprintOf(after),
              Compare(before, after).differences.empty())
        << before.DebugString() << after.DebugString();
  }
}

TEST_F(RandomSchemaTest, TwoStepsAreNoWiderThanTheWiderOfThem) {
  std::map<v1::Compatibility, int> seen;
  for (int i = 0; i < 5000; ++i) {
    const v1::Schema a = testing::RandomSchema(random_);
    const v1::Schema b = Changed(a);
    const v1::Schema c = Changed(b);
    const v1::Compatibility widest = std::max(Compare(a, b).compatibility, Compare(b, c).compatibility);
    ++seen[widest];
    EXPECT_LE(Compare(a, c).compatibility, widest) << a.DebugString() << b.DebugString() << c.DebugString();
  }
  EXPECT_EQ(seen.size(), 4u);
}

}  // namespace
}  // namespace pylabhub::broker
