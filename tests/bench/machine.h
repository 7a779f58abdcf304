// What the benches need of the machine they run on.
#pragma once

#include <cstdint>

#include "absl/status/status.h"

namespace pylabhub::bench {

// Gives this process, and the children it starts from now on, a /dev/shm and a /tmp of their own, empty and
// gone with them. A peer that uses fixed names there then meets nobody else's files and leaves none.
//
// Files that are open stay open. The caller must be single-threaded.
// Errors: says that the folders stay public, and why. Nothing has changed then.
absl::Status HidePublicFolders();

// The processors' time since the machine started, in the kernel's units.
struct CpuTimes {
  uint64_t total = 0;
  // What the host gave to others while this machine wanted to run.
  uint64_t stolen = 0;
};

// Zero when /proc/stat cannot be read.
CpuTimes ReadCpuTimes();

// The stolen share of the time between two readings, from 0 to 1.
double StolenShare(const CpuTimes& before, const CpuTimes& after);

}  // namespace pylabhub::bench
