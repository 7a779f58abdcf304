#include "client/examples/host_probe.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"

namespace pylabhub::examples {
namespace {

// What follows `key` on the line of `text` that starts with it.
absl::StatusOr<absl::string_view> LineOf(absl::string_view key, absl::string_view text) {
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    if (absl::ConsumePrefix(&line, key)) return line;
  }
  return absl::DataLossError(absl::StrCat("there is no line '", key, "' in what /proc says"));
}

// The first number after `key`.
absl::StatusOr<uint64_t> NumberOf(absl::string_view key, absl::string_view text) {
  const absl::StatusOr<absl::string_view> line = LineOf(key, text);
  if (!line.ok()) return line.status();
  uint64_t number = 0;
  const std::pair<absl::string_view, absl::string_view> words =
      absl::StrSplit(absl::StripLeadingAsciiWhitespace(*line), absl::MaxSplits(' ', 1));
  if (!absl::SimpleAtoi(words.first, &number)) {
    return absl::DataLossError(absl::StrCat("'", key, *line, "' in what /proc says is no number"));
  }
  return number;
}

// More than these files hold, but on hosts with hundreds of processors, which get a clear error.
using Buffer = std::array<char, 65'536>;

absl::StatusOr<absl::string_view> ReadAgain(int fd, Buffer& buffer) {
  const ssize_t got = pread(fd, buffer.data(), buffer.size(), 0);
  if (got < 0) return absl::UnavailableError(absl::StrCat("cannot read /proc: ", std::strerror(errno)));
  return absl::string_view(buffer.data(), static_cast<size_t>(got));
}

}  // namespace

absl::Status ReadStat(absl::string_view proc_stat, int64_t tick_ns, HostSample& sample) {
  // cpu  user nice system idle iowait irq softirq steal guest guest_nice; user includes guest, nice
  // guest_nice.
  const absl::StatusOr<absl::string_view> cpu = LineOf("cpu ", proc_stat);
  if (!cpu.ok()) return cpu.status();
  constexpr int kIdle = 3;
  constexpr int kWaitingForIo = 4;
  constexpr int kGuest = 8;
  int64_t busy_ticks = 0;
  int64_t idle_ticks = 0;
  int column = 0;
  for (absl::string_view word : absl::StrSplit(*cpu, ' ', absl::SkipEmpty())) {
    int64_t ticks = 0;
    if (!absl::SimpleAtoi(word, &ticks)) {
      return absl::DataLossError(absl::StrCat("'", word, "' in the line cpu of /proc/stat is no number"));
    }
    if (column == kGuest) break;
    (column == kIdle || column == kWaitingForIo ? idle_ticks : busy_ticks) += ticks;
    ++column;
  }
  if (column <= kIdle) return absl::DataLossError("the line cpu of /proc/stat is too short");
  const absl::StatusOr<uint64_t> context_switches = NumberOf("ctxt ", proc_stat);
  if (!context_switches.ok()) return context_switches.status();
  sample.cpu_busy_ns = busy_ticks * tick_ns;
  sample.cpu_idle_ns = idle_ticks * tick_ns;
  sample.context_switches = *context_switches;
  return absl::OkStatus();
}

absl::Status ReadMemory(absl::string_view proc_meminfo, HostSample& sample) {
  const absl::StatusOr<uint64_t> total_kib = NumberOf("MemTotal:", proc_meminfo);
  if (!total_kib.ok()) return total_kib.status();
  const absl::StatusOr<uint64_t> available_kib = NumberOf("MemAvailable:", proc_meminfo);
  if (!available_kib.ok()) return available_kib.status();
  sample.memory_total_bytes = *total_kib * 1024;
  sample.memory_available_bytes = *available_kib * 1024;
  return absl::OkStatus();
}

absl::StatusOr<HostProbe> HostProbe::Open() {
  HostProbe probe(open("/proc/stat", O_RDONLY | O_CLOEXEC), open("/proc/meminfo", O_RDONLY | O_CLOEXEC));
  if (probe.stat_fd_ < 0 || probe.memory_fd_ < 0) {
    return absl::UnavailableError(absl::StrCat(
        "cannot open /proc/stat and /proc/meminfo: ", std::strerror(errno), "; is /proc mounted?"));
  }
  return probe;
}

HostProbe::HostProbe(HostProbe&& other) noexcept
    : stat_fd_(std::exchange(other.stat_fd_, -1)),
      memory_fd_(std::exchange(other.memory_fd_, -1)),
      next_number_(other.next_number_) {}

HostProbe::~HostProbe() {
  if (stat_fd_ >= 0) close(stat_fd_);
  if (memory_fd_ >= 0) close(memory_fd_);
}

absl::StatusOr<HostSample> HostProbe::Take() {
  static const int64_t tick_ns = 1'000'000'000 / sysconf(_SC_CLK_TCK);
  Buffer buffer;
  HostSample sample = {};
  const absl::StatusOr<absl::string_view> stat = ReadAgain(stat_fd_, buffer);
  if (!stat.ok()) return stat.status();
  if (absl::Status status = ReadStat(*stat, tick_ns, sample); !status.ok()) return status;
  const absl::StatusOr<absl::string_view> memory = ReadAgain(memory_fd_, buffer);
  if (!memory.ok()) return memory.status();
  if (absl::Status status = ReadMemory(*memory, sample); !status.ok()) return status;
  sample.number = next_number_++;
  sample.timestamp_ns = absl::GetCurrentTimeNanos();
  sample.check = CheckWord(sample);
  return sample;
}

}  // namespace pylabhub::examples
