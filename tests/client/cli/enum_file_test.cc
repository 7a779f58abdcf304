#include "client/cli/enum_file.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <fstream>
#include <string>

namespace pylabhub::cli {
namespace {

std::string FileOf(const std::string& text) {
  std::string path = ::testing::TempDir() + "/enums.json";
  std::ofstream(path) << text;
  return path;
}

TEST(EnumFileTest, EachLineNamesTheValuesOfOneSchema) {
  const auto enums = ReadEnums(FileOf(R"({"name": "a", "enums": {"mode": {"on": 1, "off": 0}}}

{"version": 3, "name": "b", "enums": {"x.y": {"low": -1, "high": 18446744073709551615}}}
{"name": "c", "schema": "of values without names"})"));
  ASSERT_TRUE(enums.ok()) << enums.status();
  EXPECT_EQ(*enums, (NamesByChannel{{"a", {{"mode", {{"on", 1}, {"off", 0}}}}},
                                    {"b", {{"x.y", {{"low", -1}, {"high", -1}}}}}}));
}

TEST(EnumFileTest, WhatIsPrintedIsReadBack) {
  const EnumNames names = {{"mode", {{"on", 1}, {"off", INT64_MIN}}}, {"x.y", {{"a \"name\"", 0}}}};
  const nlohmann::ordered_json line = {{"name", "a"}, {"enums", EnumsToJson(names)}};
  const auto enums = ReadEnums(FileOf(line.dump()));
  ASSERT_TRUE(enums.ok()) << enums.status();
  EXPECT_EQ(enums->at("a"), names);
}

TEST(EnumFileTest, ALineThatIsSomethingElseIsNamed) {
  for (const std::string wrong : {"mode off 0", "[]", R"({"enums": {}})", R"({"name": 1, "enums": {}})",
                                  R"({"name": "a", "enums": []})", R"({"name": "a", "enums": {"mode": 1}})",
                                  R"({"name": "a", "enums": {"mode": {"on": 1.5}}})"}) {
    const absl::Status status = ReadEnums(FileOf("\n" + wrong + "\n")).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << wrong;
    EXPECT_NE(status.message().find("enums.json line 2"), absl::string_view::npos) << status;
  }
}

TEST(EnumFileTest, AFileThatCannotBeReadIsToldFromAnEmptyOne) {
  EXPECT_TRUE(ReadEnums(FileOf("")).ok());
  EXPECT_TRUE(absl::IsUnavailable(ReadEnums(::testing::TempDir() + "/none.json").status()));
  EXPECT_TRUE(absl::IsUnavailable(ReadEnums(::testing::TempDir()).status()));
}

}  // namespace
}  // namespace pylabhub::cli
