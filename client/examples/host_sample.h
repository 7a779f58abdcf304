// One look at this host: how busy it is, as the kernel counts it.
//
// The struct is what travels in a channel; its units travel with it in the schema.
#pragma once

#include <cstdint>

#include "shm/describe.h"

namespace pylabhub::examples {

struct HostSample {
  uint64_t number;              // of this sample, from 0; counted by the sampler, not by the channel
  int64_t timestamp_ns;         // when it was taken, since the Unix epoch
  int64_t cpu_busy_ns;          // all processors together, since boot; the kernel counts in steps of 10 ms
  int64_t cpu_idle_ns;          // likewise, waiting for I/O included
  uint64_t context_switches;    // all processors together, since boot
  uint64_t memory_total_bytes;  // that the kernel manages
  uint64_t memory_available_bytes;  // that programs could get without swapping
  uint64_t check;                   // CheckWord of the rest: a sample that was torn on its way does not match
};
PYLABHUB_SCHEMA(HostSample, (number, "1"), (timestamp_ns, "ns"), (cpu_busy_ns, "ns"), (cpu_idle_ns, "ns"),
                (context_switches, "1"), (memory_total_bytes, "By"), (memory_available_bytes, "By"),
                (check, ""));

// FNV-1a over the bytes before `check`: any changed bit changes it.
uint64_t CheckWord(const HostSample& sample);

inline bool IsWhole(const HostSample& sample) { return sample.check == CheckWord(sample); }

}  // namespace pylabhub::examples
