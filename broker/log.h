// Writes what the broker tells (log_hook.h) to standard error, one line each.
//
//   logfmt  time=2026-01-31T12:00:00.000Z level=info event=call method=Register identity=... result=OK
//   json    {"time":"2026-01-31T12:00:00.000Z","level":"info","event":"call","method":"Register",...}
//
// Whatever a client sent is escaped: it cannot end a line, nor forge a field.
#ifndef PYLABHUB_BROKER_LOG_H_
#define PYLABHUB_BROKER_LOG_H_

#include <string>

#include "absl/time/time.h"
#include "broker/log_hook.h"

namespace pylabhub::broker {

enum class LogFormat { kLogfmt, kJson };

// One line, without its end.
std::string FormatRecord(const LogRecord& record, LogFormat format, absl::Time time);

// A hook that writes records of `least_level` and above. Thread-safe.
LogHook MakeStderrLog(LogLevel least_level, LogFormat format);

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_LOG_H_
