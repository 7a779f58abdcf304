// How the `pylabhub` tool ends. Scripts depend on these numbers: they never change, and `--help` shows them.
#pragma once

namespace pylabhub::cli {

enum ExitCode : int {
  kDone = 0,           // what was asked for was done; tail: or the producer closed the channel
  kFailed = 1,         // an error that none of the others names; the message says what and the mend
  kBadUsage = 2,       // a wrong command line; nothing was touched
  kNotFound = 3,       // no such channel, or it did not appear in time
  kProducerDied = 4,   // tail: the producer died without closing the channel; all that it sent was shown
  kTimedOut = 5,       // nothing came, or nobody attached, within --timeout
  kConsumersLeft = 6,  // publish: every consumer left before the end
  kInterrupted = 130,  // Ctrl-C or SIGTERM
};

inline constexpr char kExitCodeHelp[] =
    "Exit codes: 0 done, or the producer closed; 1 failed; 2 wrong command line; 3 no such channel;\n"
    "4 the producer died; 5 timed out; 6 every consumer left; 130 interrupted.";

}  // namespace pylabhub::cli
