#include "client/cli/encoder.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "client/cli/decoder.h"

namespace pylabhub::cli {
namespace {

using shm::ScalarType;

shm::Schema Everything() {
  return {.name = "Everything",
          .record_bytes = 40,
          .fields = {{.name = "real", .type = ScalarType::kFloat64, .offset_bytes = 0},
                     {.name = "big", .type = ScalarType::kUint64, .offset_bytes = 8},
                     {.name = "small", .type = ScalarType::kInt8, .offset_bytes = 16},
                     {.name = "yes", .type = ScalarType::kBool, .offset_bytes = 17},
                     {.name = "name", .type = ScalarType::kChar, .count = 6, .offset_bytes = 18},
                     {.name = "xyz", .type = ScalarType::kFloat32, .count = 3, .offset_bytes = 24}}};
}

constexpr char kObject[] =
    R"({"real":1.5,"big":18446744073709551615,"small":-128,"yes":true,"name":"abc","xyz":[0.1,"NaN",-3]})";

class EncoderTest : public testing::Test {
 protected:
  // What comes back when `line` is encoded and decoded, or the error.
  std::string Through(const std::string& line) {
    const absl::StatusOr<size_t> bytes = encoder_.FromJson(line, payload_);
    if (!bytes.ok()) return std::string(bytes.status().message());
    return Decoder(schema_).Json(std::span(payload_).first(*bytes)).dump();
  }

  // kObject with one of its values changed.
  std::string With(const std::string& field, const std::string& value) {
    auto object = nlohmann::ordered_json::parse(kObject);
    object[field] = nlohmann::ordered_json::parse(value);
    return Through(object.dump());
  }

  shm::Schema schema_ = Everything();
  Encoder encoder_{schema_};
  std::array<std::byte, 80> payload_ = {};
};

TEST_F(EncoderTest, WhatTheDecoderShowsIsTakenBack) {
  ASSERT_TRUE(schema_.Validate().ok());
  EXPECT_EQ(Through(kObject),
            absl::StrCat(R"({"records":[)", R"({"real":1.5,"big":18446744073709551615,)",
                         R"("small":-128,"yes":true,"name":"abc","xyz":[0.1,"NaN",-3]})", "]}"));
}

TEST_F(EncoderTest, ALineOfTailIsASlotWithAllItsRecords) {
  const std::string record(kObject);
  const absl::StatusOr<size_t> bytes =
      encoder_.FromJson(R"({"sequence":7,"records":[)" + record + "," + record + "]}", payload_);
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  EXPECT_EQ(*bytes, 80U);
  EXPECT_EQ(std::memcmp(payload_.data(), payload_.data() + 40, 40), 0);
}

TEST_F(EncoderTest, AValueThatTheFieldCannotHoldIsAnErrorThatNamesIt) {
  EXPECT_EQ(With("small", "128"), "field 'small', int8: 128 does not fit");
  EXPECT_EQ(With("small", "1.5"), "field 'small', int8: 1.5 does not fit");
  EXPECT_EQ(With("big", "-1"), "field 'big', uint64: -1 does not fit");
  EXPECT_EQ(With("big", "\"NaN\""), "field 'big', uint64: \"NaN\" is no number");
  EXPECT_EQ(With("yes", "2"), "field 'yes', bool: 2 does not fit");
  EXPECT_EQ(With("name", "\"abcdefg\""),
            "field 'name', char: \"abcdefg\" has 7 bytes, and there is room for 6");
  EXPECT_EQ(With("xyz", "[1,2]"), "field 'xyz', float32: [1,2] is no array of 3 values");
  EXPECT_EQ(With("xyz", "[1,2,1e39]"), "field 'xyz', float32: 1e+39 does not fit");
  EXPECT_EQ(With("other", "1"), "the schema has no field 'other'");
  EXPECT_EQ(Through(R"({"real":1})"), "field 'big' is missing");
  EXPECT_EQ(Through("{"), "this is no JSON");
  EXPECT_EQ(Through("3"), "a record must be an object keyed by field");
  EXPECT_EQ(Through(R"({"records":[]})"), "it has no records");
}

TEST_F(EncoderTest, ASlotThatIsTooSmallIsToldWithItsMend) {
  const absl::StatusOr<size_t> bytes = encoder_.FromJson(kObject, std::span(payload_).first(39));
  EXPECT_EQ(bytes.status().message(), "it is 40 bytes, and a slot has room for 39; say --slot-bytes 40");
}

TEST_F(EncoderTest, CsvColumnsMayComeInAnyOrder) {
  const auto columns =
      encoder_.Columns({"name", "xyz[2]", "xyz[0]", "xyz[1]", "yes", "small", "big", "real"});
  ASSERT_TRUE(columns.ok()) << columns.status();
  const absl::StatusOr<size_t> bytes =
      encoder_.FromCsv(*columns, {"a,b", "3", "1", "nan", "0", "-1", "12", "-2.5e3"}, payload_);
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  EXPECT_EQ(
      Decoder(schema_).Json(std::span(payload_).first(*bytes)).dump(),
      R"({"records":[{"real":-2500.0,"big":12,"small":-1,"yes":false,"name":"a,b","xyz":[1,"NaN",3]}]})");
}

TEST_F(EncoderTest, AHeaderNamesEveryValueOnce) {
  const auto error = [&](const std::vector<std::string>& header) {
    return std::string(encoder_.Columns(header).status().message());
  };
  EXPECT_EQ(error({"real"}), "the header has no column 'big'");
  EXPECT_EQ(error({"real", "real"}), "a column is named twice");
  EXPECT_EQ(error({"name", "xyz[2]", "xyz[0]", "xyz[1]", "yes", "small", "big", "real", "z"}),
            "the schema has no field 'z'");
}

TEST(SplitCsvTest, QuotesKeepCommasAndQuotes) {
  EXPECT_EQ(*SplitCsv(R"(a,"b,c",,"d ""e""")"), (std::vector<std::string>{"a", "b,c", "", "d \"e\""}));
  EXPECT_FALSE(SplitCsv("\"a").ok());
}

}  // namespace
}  // namespace pylabhub::cli
