#include "broker/log.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace pylabhub::broker {
namespace {

const absl::Time kTime = absl::FromUnixMillis(1'500);

TEST(LogTest, ALogfmtLineHasTimeLevelEventAndFields) {
  const LogRecord record = {LogLevel::kWarning, "call", {{"method", "Register"}, {"message", "two words"}}};
  EXPECT_EQ(FormatRecord(record, LogFormat::kLogfmt, kTime),
            "time=1970-01-01T00:00:01.500Z level=warning event=call method=Register message=\"two words\"");
}

TEST(LogTest, WhatAClientSentCanNeitherEndALineNorForgeAField) {
  const std::string evil = "x\nlevel=error \"=\\\x1b[2J\xff";
  const LogRecord record = {LogLevel::kInfo, "call", {{"channel", evil}, {"empty", ""}}};
  EXPECT_EQ(FormatRecord(record, LogFormat::kLogfmt, kTime),
            "time=1970-01-01T00:00:01.500Z level=info event=call "
            "channel=\"x\\nlevel=error \\\"=\\\\\\x1b[2J\\xff\" empty=\"\"");
  const std::string json = FormatRecord(record, LogFormat::kJson, kTime);
  EXPECT_EQ(json.find('\n'), std::string::npos);
  EXPECT_EQ(json.find('\x1b'), std::string::npos);
  EXPECT_EQ(nlohmann::json::parse(json)["level"], "info");
}

TEST(LogTest, AJsonLineIsAnObjectWithTheSameFacts) {
  const LogRecord record = {LogLevel::kError, "cannot_start", {{"message", "port taken"}}};
  EXPECT_EQ(
      FormatRecord(record, LogFormat::kJson, kTime),
      R"({"time":"1970-01-01T00:00:01.500Z","level":"error","event":"cannot_start","message":"port taken"})");
}

}  // namespace
}  // namespace pylabhub::broker
