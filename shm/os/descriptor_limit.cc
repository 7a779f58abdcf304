#include "shm/os/descriptor_limit.h"

#include <dirent.h>
#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <mutex>

#include "absl/strings/str_cat.h"

namespace pylabhub::shm {
namespace {

// What is always left for the rest of a program.
constexpr rlim_t kSpare = 64;

// How many descriptors this process has; not one too few.
rlim_t CountDescriptors() {
  DIR* const folder = opendir("/proc/self/fd");
  if (folder == nullptr) return 0;
  rlim_t count = 0;
  while (readdir(folder) != nullptr) ++count;
  closedir(folder);
  return count;
}

}  // namespace

absl::Status MakeRoomForDescriptors(size_t more) {
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  struct rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
    return absl::ErrnoToStatus(errno, "cannot read the limit of descriptors (getrlimit)");
  const rlim_t needed = CountDescriptors() + more + kSpare;
  if (needed <= limit.rlim_cur) return absl::OkStatus();
  if (needed > limit.rlim_max) {
    return absl::ResourceExhaustedError(
        absl::StrCat("this needs ", needed, " descriptors, and the process may have ", limit.rlim_max,
                     "; raise its hard limit (ulimit -Hn), or use fewer max_consumers"));
  }
  limit.rlim_cur = std::min(limit.rlim_max, needed + more);
  if (setrlimit(RLIMIT_NOFILE, &limit) == 0) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, "cannot raise the limit of descriptors (setrlimit)");
}

}  // namespace pylabhub::shm
