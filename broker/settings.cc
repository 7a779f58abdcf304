#include "broker/settings.h"

#include <charconv>

namespace pylabhub::broker {

const Words<LogLevel>& LogLevelWords() {
  static const auto& words = *new Words<LogLevel>{
      {"info", LogLevel::kInfo}, {"warning", LogLevel::kWarning}, {"error", LogLevel::kError}};
  return words;
}

const Words<LogFormat>& LogFormatWords() {
  static const auto& words =
      *new Words<LogFormat>{{"logfmt", LogFormat::kLogfmt}, {"json", LogFormat::kJson}};
  return words;
}

bool ParseMode(const std::string& text, mode_t& mode) {
  unsigned value = 0;
  const char* end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(text.data(), end, value, 8);
  if (error != std::errc() || stopped != end || value > 0777) return false;
  mode = value;
  return true;
}

}  // namespace pylabhub::broker
