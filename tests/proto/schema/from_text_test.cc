#include "proto/schema/from_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>

#include "proto/schema/canonical.h"
#include "tests/proto/schema/random_schema.h"
#include "tests/support/seed.h"

namespace pylabhub::schema {
namespace {

using ::testing::HasSubstr;

constexpr char kPose[] =
    "pylabhub-schema 1\n"
    "record Pose 40\n"
    "field id uint32 1 0 \n"
    "field at.where.x float64 1 8 m\n"
    "field at.where.y float64 1 16 m\n"
    "field at.time_ns int64 1 24 ns\n"
    "field tag char 8 32 \n";

TEST(FromTextTest, DottedNamesBecomeStructs) {
  const absl::StatusOr<v1::Schema> schema = FromCanonicalText(kPose);
  ASSERT_TRUE(schema.ok()) << schema.status();
  ASSERT_EQ(schema->fields_size(), 3);
  const v1::Field& at = schema->fields(1);
  EXPECT_EQ(at.name(), "at");
  EXPECT_EQ(at.offset_bytes(), 8u);
  EXPECT_EQ(at.element_size_bytes(), 24u);
  EXPECT_EQ(at.fields(0).name(), "where");
  EXPECT_EQ(at.fields(0).element_size_bytes(), 16u);
  EXPECT_EQ(at.fields(0).fields(1).offset_bytes(), 8u);
  EXPECT_EQ(at.fields(1).name(), "time_ns");
  EXPECT_EQ(at.fields(1).offset_bytes(), 16u);
}

TEST(FromTextTest, TheTextOfAnyValidSchemaReadsBackToAMessageWithTheSameText) {
  std::mt19937_64 random(testing::Seed());
  for (int i = 0; i < 1000; ++i) {
    const std::string text = CanonicalText(testing::RandomSchema(random));
    const absl::StatusOr<v1::Schema> schema = FromCanonicalText(text);
    ASSERT_TRUE(schema.ok()) << schema.status() << text;
    EXPECT_EQ(CanonicalText(*schema), text);
  }
}

TEST(FromTextTest, WhatNoMessageCanSayIsRefused) {
  const char* const texts[] = {
      "",
      "\n",
      "pylabhub-schema 1\n",
      "pylabhub-schema 2\nrecord bytes 0\n",
      "pylabhub-schema 1\nrecord bytes 0",
      "pylabhub-schema 1\nrecord A 4\n",
      "pylabhub-schema 1\nrecord A 04\nfield x int32 1 0 \n",
      "pylabhub-schema 1\nrecord A 4\nfield x Int32 1 0 \n",
      "pylabhub-schema 1\nrecord A 4\nfield x byte 4 0 \n",
      "pylabhub-schema 1\nrecord A 4\nfield x struct 1 0 \n",
      "pylabhub-schema 1\nrecord A 4\nfield x. int32 1 0 \n",
      "pylabhub-schema 1\nrecord A 4\nfield .x int32 1 0 \n",
      "pylabhub-schema 1\nrecord A 8\nfield x int32 1 0 \nfield x int32 1 4 \n",
      "pylabhub-schema 1\nrecord A 8\nfield a.x int32 1 4 \nfield a.y int32 1 0 \n",
      "pylabhub-schema 1\nrecord A 12\nfield a.x int32 1 0 \nfield b int32 1 4 \nfield a.y int32 1 8 \n",
      "pylabhub-schema 1\nrecord A 8\nfield x int32 18446744073709551615 4 \n",
  };
  ASSERT_TRUE(FromCanonicalText("pylabhub-schema 1\nrecord bytes 0\n").ok());
  for (const char* text : texts) {
    EXPECT_TRUE(absl::IsInvalidArgument(FromCanonicalText(text).status())) << text;
  }
  EXPECT_THAT(std::string(FromCanonicalText("pylabhub-schema 1\nrecord A 4\nfield x\n").status().message()),
              HasSubstr("field x"));
}

TEST(FromTextTest, RandomDamageIsRefusedOrReadsBackAsItself) {
  std::mt19937_64 random(testing::Seed());
  for (int i = 0; i < 20000; ++i) {
    std::string text = kPose;
    for (uint64_t j = 1 + random() % 3; j > 0; --j) {
      text[random() % text.size()] = " .\n0123456789abx"[random() % 16];
    }
    const absl::StatusOr<v1::Schema> schema = FromCanonicalText(text);
    if (!schema.ok()) continue;
    EXPECT_EQ(CanonicalText(*schema), text);
  }
}

}  // namespace
}  // namespace pylabhub::schema
