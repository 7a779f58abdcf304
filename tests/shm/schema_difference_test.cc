#include "shm/schema_difference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "shm/data_block_consumer.h"
#include "shm/data_block_producer.h"
#include "tests/support/shm_folder.h"

namespace pylabhub::shm {
namespace {

using ::testing::HasSubstr;

Schema Sample() {
  return {.name = "Sample",
          .record_bytes = 24,
          .fields = {{.name = "id", .type = ScalarType::kUint32, .offset_bytes = 0},
                     {.name = "celsius", .type = ScalarType::kFloat64, .offset_bytes = 8, .unit = "degC"},
                     {.name = "tag", .type = ScalarType::kChar, .count = 8, .offset_bytes = 16}}};
}

TEST(SchemaDifferenceTest, EqualSchemasHaveNone) { EXPECT_EQ(FirstDifference(Sample(), Sample()), ""); }

TEST(SchemaDifferenceTest, TheFirstDifferenceIsSaidInWords) {
  Schema expected = Sample();
  expected.fields[1].unit = "K";
  EXPECT_EQ(FirstDifference(Sample(), expected), R"(field 2 "celsius": unit is "degC", expected "K")");
  expected.fields[1].unit = "";
  EXPECT_EQ(FirstDifference(Sample(), expected), R"(field 2 "celsius": unit is "degC", expected none)");
  expected.fields[1].type = ScalarType::kInt64;
  EXPECT_EQ(FirstDifference(Sample(), expected), R"(field 2 "celsius": type is float64, expected int64)");
  expected.fields[0].name = "serial";
  EXPECT_EQ(FirstDifference(Sample(), expected), R"(field 1 "id": name is "id", expected "serial")");
  expected.name = "Probe";
  EXPECT_EQ(FirstDifference(Sample(), expected), R"(record: name is "Sample", expected "Probe")");
}

TEST(SchemaDifferenceTest, WhatIsMissingTooMuchOrOfAnotherSizeIsSaidToo) {
  Schema expected = Sample();
  expected.fields.pop_back();
  EXPECT_EQ(FirstDifference(Sample(), expected),
            R"(field 3 "tag" (char[8] at byte 16) is there, and not expected)");
  EXPECT_EQ(FirstDifference(expected, Sample()),
            R"(field 3 "tag" (char[8] at byte 16) is expected, and missing)");
  expected = Sample();
  expected.fields[2].count = 4;
  EXPECT_EQ(FirstDifference(Sample(), expected), R"(field 3 "tag": count is 8, expected 4)");
  expected.fields[2] = Sample().fields[2];
  expected.record_bytes = 32;
  EXPECT_EQ(FirstDifference(Sample(), expected), "record: size in bytes is 24, expected 32");
}

TEST(SchemaDifferenceTest, AConsumerThatExpectsAnotherSchemaIsToldWhatDiffers) {
  const testing::ShmFolder folder;
  const auto producer = DataBlockProducer::Create(
      {.channel = "a", .slot_bytes = 24, .schema = Sample(), .directory = folder.path()});
  ASSERT_TRUE(producer.ok()) << producer.status();
  Schema expected = Sample();
  expected.fields[1].unit = "K";
  ConsumerOptions options;
  options.directory = folder.path();
  options.expected_schema = expected;
  const auto consumer = DataBlockConsumer::Open("a", options);
  EXPECT_THAT(std::string(consumer.status().message()),
              HasSubstr(R"(field 2 "celsius": unit is "degC", expected "K")"));
}

}  // namespace
}  // namespace pylabhub::shm
