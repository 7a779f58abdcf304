// Keeps other processes of the same user out of this one's memory.
//
// Seals and descriptors say who may use memory; but the kernel lets every process of the same user open what this one has open
// (/proc/PID/fd), and read and write its memory (/proc/PID/mem, ptrace). A program that relies on memory that was handed over calls
// this before it has any.
#ifndef PYLABHUB_SHM_OS_PROCESS_PRIVACY_H_
#define PYLABHUB_SHM_OS_PROCESS_PRIVACY_H_

#include "absl/status/status.h"

namespace pylabhub::shm {

// From now on only root can look into this process (PR_SET_DUMPABLE of prctl(2) is 0), until it executes another program. What it
// gives up: no debugger, tracer or profiler of the same user attaches to it, it leaves no core dump, and its files in /proc
// belong to root. It can go on opening its own /proc/self/fd. A child of fork() is as its parent.
//
// Thread safety: thread-safe; it holds for the whole process.
// Errors: kUnavailable, in words; the kernel has no reason to refuse.
absl::Status HideProcess();

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_OS_PROCESS_PRIVACY_H_
