#include "shm/os/process_privacy.h"

#include <sys/prctl.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace pylabhub::shm {

absl::Status HideProcess() {
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat("cannot hide this process from others of its user (PR_SET_DUMPABLE): ", strerror(errno)));
}

}  // namespace pylabhub::shm
