// Takes HostSamples from /proc.
#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "client/examples/host_sample.h"

namespace pylabhub::examples {

// Fill the members that /proc/stat and /proc/meminfo tell. kDataLoss names the line that is missing or no
// number.
absl::Status ReadStat(absl::string_view proc_stat, int64_t tick_ns, HostSample& sample);
absl::Status ReadMemory(absl::string_view proc_meminfo, HostSample& sample);

// Thread safety: thread-compatible.
// Time:          a sample is two reads of files in /proc, some ten microseconds each.
class HostProbe {
 public:
  // kUnavailable if a file in /proc cannot be opened.
  static absl::StatusOr<HostProbe> Open();

  HostProbe(HostProbe&& other) noexcept;
  HostProbe& operator=(HostProbe&&) = delete;
  ~HostProbe();

  // The next sample, numbered and with its check word. An error uses up no number.
  absl::StatusOr<HostSample> Take();

 private:
  HostProbe(int stat_fd, int memory_fd) : stat_fd_(stat_fd), memory_fd_(memory_fd) {}

  int stat_fd_;    // -1 once moved from
  int memory_fd_;  // likewise
  uint64_t next_number_ = 0;
};

}  // namespace pylabhub::examples
