// What the broker tells its host process: facts, not text. The host decides where they go; main.cc writes
// them with spdlog, an application that embeds a broker may drop them.
#ifndef PYLABHUB_BROKER_LOG_HOOK_H_
#define PYLABHUB_BROKER_LOG_HOOK_H_

#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace pylabhub::broker {

enum class LogLevel { kInfo, kWarning, kError };

struct LogRecord {
  LogLevel level = LogLevel::kInfo;
  // What happened, one word: "call", "channel_ready", "lease_given_back".
  std::string event = {};
  // Its facts. Values may hold anything that a client sent: the writer escapes them.
  std::vector<std::pair<std::string, std::string>> fields = {};
};

// Called from any of the broker's threads, also from several at once; must not block for long. May be empty.
using LogHook = std::function<void(const LogRecord&)>;

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_LOG_HOOK_H_
