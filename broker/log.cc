#include "broker/log.h"

#include <spdlog/logger.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace pylabhub::broker {
namespace {

absl::string_view NameOf(LogLevel level) {
  switch (level) {
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarning:
      return "warning";
    case LogLevel::kError:
      return "error";
  }
  return "unknown";
}

std::string Quoted(absl::string_view value) {
  const bool plain = !value.empty() && std::all_of(value.begin(), value.end(), [](char c) {
    return absl::ascii_isgraph(static_cast<unsigned char>(c)) && c != '"' && c != '=' && c != '\\';
  });
  return plain ? std::string(value) : absl::StrCat("\"", absl::CHexEscape(value), "\"");
}

std::string ToLogfmt(const LogRecord& record, const std::string& time) {
  std::string line =
      absl::StrCat("time=", time, " level=", NameOf(record.level), " event=", Quoted(record.event));
  for (const auto& [key, value] : record.fields) absl::StrAppend(&line, " ", key, "=", Quoted(value));
  return line;
}

std::string ToJson(const LogRecord& record, const std::string& time) {
  nlohmann::ordered_json line;
  line["time"] = time;
  line["level"] = std::string(NameOf(record.level));
  line["event"] = record.event;
  for (const auto& [key, value] : record.fields) line[key] = value;
  return line.dump(-1, ' ', /*ensure_ascii=*/true, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace

std::string FormatRecord(const LogRecord& record, LogFormat format, absl::Time time) {
  const std::string text = absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", time, absl::UTCTimeZone());
  return format == LogFormat::kJson ? ToJson(record, text) : ToLogfmt(record, text);
}

LogHook MakeStderrLog(LogLevel least_level, LogFormat format) {
  auto logger =
      std::make_shared<spdlog::logger>("pylabhub-broker", std::make_shared<spdlog::sinks::stderr_sink_mt>());
  // The line is made above, time included, so that both formats escape alike.
  logger->set_pattern("%v");
  logger->flush_on(spdlog::level::info);
  return [logger, least_level, format](const LogRecord& record) {
    if (record.level < least_level) return;
    logger->info("{}", FormatRecord(record, format, absl::Now()));
  };
}

}  // namespace pylabhub::broker
