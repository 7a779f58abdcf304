#include "tests/bench/machine.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"

namespace pylabhub::bench {

absl::Status HidePublicFolders() {
  const auto public_still = [] {
    return absl::ErrnoToStatus(errno, "/dev/shm and /tmp are not private to this run (that takes root)");
  };
  if (unshare(CLONE_NEWNS) != 0) return public_still();
  // Without this the mounts below would be seen outside.
  if (mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return public_still();
  for (const char* folder : {"/dev/shm", "/tmp"}) {
    if (mount("tmpfs", folder, "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777") != 0) return public_still();
  }
  return absl::OkStatus();
}

namespace {

double SecondsOf(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

double SecondsUsedBy(int who) {
  rusage usage = {};
  getrusage(who, &usage);
  return SecondsOf(usage.ru_utime) + SecondsOf(usage.ru_stime);
}

}  // namespace

// All zero, and so every share, when /proc/stat cannot be read.
ProcessorTime::Reading ProcessorTime::Now() {
  enum Column { kUser, kNice, kSystem, kIdle, kIoWait, kIrq, kSoftIrq, kSteal, kColumns };
  const auto ticks_per_second = static_cast<double>(sysconf(_SC_CLK_TCK));
  std::ifstream stat("/proc/stat");
  std::string label;
  stat >> label;
  Reading reading;
  for (int column = 0; column < kColumns; ++column) {
    double ticks = 0;
    stat >> ticks;
    const double seconds = ticks / ticks_per_second;
    reading.total += seconds;
    if (column == kSteal) {
      reading.stolen = seconds;
    } else if (column != kIdle && column != kIoWait) {
      reading.busy += seconds;
    }
  }
  reading.ours = SecondsUsedBy(RUSAGE_SELF) + SecondsUsedBy(RUSAGE_CHILDREN);
  return reading;
}

ProcessorTime::ProcessorTime() : start_(Now()) {}

double ProcessorTime::StolenShare() const {
  const Reading now = Now();
  return now.total > start_.total ? (now.stolen - start_.stolen) / (now.total - start_.total) : 0;
}

double ProcessorTime::OthersShare() const {
  const Reading now = Now();
  const double others = (now.busy - start_.busy) - (now.ours - start_.ours);
  // The kernel's clock for this is coarse, and may make it slightly negative.
  return now.total > start_.total ? std::max(0.0, others / (now.total - start_.total)) : 0;
}

}  // namespace pylabhub::bench
