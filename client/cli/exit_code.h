// How the `pylabhub` tool ends. Scripts depend on these numbers: they never change, and `--help` shows them.
#pragma once

namespace pylabhub::cli {

enum ExitCode : int {
  kDone = 0,           // what was asked for was done; tail: or the producer closed the channel
  kFailed = 1,         // an error that none of the others names; the message says what and the mend
  kBadUsage = 2,       // a wrong command line; nothing was touched
  kNotFound = 3,       // no such channel, or it did not appear in time
  kProducerDied = 4,   // tail, record: the producer died without closing; all that it sent was taken
  kTimedOut = 5,       // nothing came, or nobody attached, within --timeout
  kConsumersLeft = 6,  // publish, replay: every consumer left before the end
  kDenied = 7,         // policy explain: the policy does not allow it
  kSlotsMissed = 8,    // record: slots were missed, or are corrupt; the summary says how many
  // tls check:
  kNobodyListens = 10,      // nobody listens there, or it cannot be reached
  kNoTls = 11,              // who listens does not speak TLS, or no version in common
  kServerNotTrusted = 12,   // the broker's certificate: another CA, another name, expired, not valid yet
  kOwnCertificateBad = 13,  // the client's: missing, unreadable, expired, without its key, refused, revoked
  kNoHttp2 = 14,            // TLS works, but what answers is no gRPC server
  kBrokerRefuses = 15,      // the broker answers, and refuses the call
  kInterrupted = 130,       // Ctrl-C or SIGTERM
};

inline constexpr char kExitCodeHelp[] =
    "Exit codes: 0 done, or the producer closed; 1 failed; 2 wrong command line; 3 no such channel;\n"
    "4 the producer died; 5 timed out; 6 every consumer left; 7 denied; 8 slots were missed;\n"
    "130 interrupted.\n"
    "tls check: 10 nobody listens; 11 no TLS; 12 the broker is not trusted; 13 the client's certificate is "
    "no good;\n"
    "14 no gRPC server; 15 the broker refuses.";

}  // namespace pylabhub::cli
