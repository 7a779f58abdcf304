#include "tests/bench/machine.h"

#include <sched.h>
#include <sys/mount.h>

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

CpuTimes ReadCpuTimes() {
  constexpr int kStolenColumn = 7;  // user nice system idle iowait irq softirq steal
  std::ifstream stat("/proc/stat");
  std::string label;
  stat >> label;
  CpuTimes times;
  uint64_t time;
  for (int column = 0; column <= kStolenColumn && stat >> time; ++column) {
    times.total += time;
    if (column == kStolenColumn) times.stolen = time;
  }
  return times;
}

double StolenShare(const CpuTimes& before, const CpuTimes& after) {
  if (after.total <= before.total) return 0;
  return static_cast<double>(after.stolen - before.stolen) / static_cast<double>(after.total - before.total);
}

}  // namespace pylabhub::bench
