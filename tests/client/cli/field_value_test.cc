#include "client/cli/field_value.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>

namespace pylabhub::cli {
namespace {

using shm::ScalarType;

const shm::Schema kSchema = {
    .name = "Stage",
    .record_bytes = 16,
    .fields = {{.name = "position", .type = ScalarType::kInt16, .count = 2, .offset_bytes = 2, .unit = "um"},
               {.name = "label", .type = ScalarType::kChar, .count = 2, .offset_bytes = 6},
               {.name = "force", .type = ScalarType::kFloat64, .offset_bytes = 8}}};

std::string Error(const shm::Schema& schema, absl::string_view name) {
  return std::string(FieldValue::Find(schema, name).status().message());
}

TEST(FieldValueTest, AFieldAndAValueOfAnArrayAreFoundByName) {
  std::array<std::byte, 16> record = {};
  const std::array<int16_t, 2> position = {-3, 700};
  const double force = 2.5;
  std::memcpy(record.data() + 2, position.data(), 4);
  std::memcpy(record.data() + 8, &force, 8);
  EXPECT_EQ(FieldValue::Find(kSchema, "force")->Of(record), 2.5);
  EXPECT_EQ(FieldValue::Find(kSchema, "position")->Of(record), -3);
  EXPECT_EQ(FieldValue::Find(kSchema, "position[1]")->Of(record), 700);
  EXPECT_EQ(FieldValue::Find(kSchema, "position[1]")->unit(), "um");
}

TEST(FieldValueTest, WhatIsNoNumberIsToldWithWhatThereIs) {
  EXPECT_EQ(Error(kSchema, "speed"), "the channel has no field of numbers 'speed'; it has position, force");
  EXPECT_EQ(Error(kSchema, "label"), "the channel has no field of numbers 'label'; it has position, force");
  EXPECT_EQ(Error(kSchema, "position[2]"), "'position[2]': field position has the values [0] to [1]");
  EXPECT_EQ(Error(kSchema, "position[x"), "'position[x': field position has the values [0] to [1]");
  EXPECT_EQ(Error(shm::Schema::Opaque(), "x"),
            "the channel has no field of numbers 'x'; it has none: its slots are bytes, without a schema");
}

}  // namespace
}  // namespace pylabhub::cli
