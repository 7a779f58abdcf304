// What pylabhub-broker does to its own process so that a fault in it, or a neighbour of the same user, gets at less: for
// main.cc alone, since an embedded broker changes nothing in its host.
//
// To be called once, before the process has a second thread and before it reads a key.
//
// Thread safety: not thread-safe.
#ifndef PYLABHUB_BROKER_PROCESS_GUARD_H_
#define PYLABHUB_BROKER_PROCESS_GUARD_H_

#include "absl/status/status.h"
#include "broker/log_hook.h"

namespace pylabhub::broker {

struct GuardOptions {
  // Whether system calls that no broker needs are refused (EPERM) for good: starting programs and processes, looking into
  // others, mounting, loading modules, changing users, kinds of sockets that it does not use.
  bool sandbox = true;
  // Keeps the one capability that a port below 1024 takes; all others are dropped.
  bool keep_bind_service = false;
};

// Nobody else's files are readable by others (umask), no core dump holds a key, no debugger or /proc/PID/mem of the same
// user sees in, no privilege is gained, none is kept; and the sandbox, where the kernel has one. What the kernel refuses
// is logged and left out. A build for a sanitizer, which traces itself, stays open to itself.
void GuardProcess(const GuardOptions& options, const LogHook& log);

// The sandbox alone, for good.
//
// Errors:
//   kUnavailable  the kernel has none, or does not allow it
absl::Status EnterSandbox();

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_PROCESS_GUARD_H_
