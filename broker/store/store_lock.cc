#include "broker/store/store_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace pylabhub::broker {
namespace {

struct Line {
  int64_t pid = 0;
  uint64_t commit_number = 0;
};

Line ReadLine(const std::string& path) {
  std::ifstream file(path);
  std::string text;
  std::getline(file, text);
  Line line;
  if (std::sscanf(text.c_str(), "process %" SCNd64 " commit %" SCNu64, &line.pid, &line.commit_number) != 2)
    return {};
  return line;
}

}  // namespace

absl::StatusOr<std::unique_ptr<StoreLock>> StoreLock::Take(const std::string& path) {
  const int descriptor = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (descriptor < 0) {
    return absl::UnavailableError(absl::StrCat("cannot open ", path, ": ", std::strerror(errno)));
  }
  std::unique_ptr<StoreLock> lock(new StoreLock(descriptor));
  if (flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) {
      return absl::UnavailableError(absl::StrCat("cannot lock ", path, ": ", std::strerror(errno)));
    }
    return absl::AlreadyExistsError(absl::StrCat("the store is in use by another broker (process ",
                                                 ReadLine(path).pid, ", which locks ", path,
                                                 "); stop it, or choose another state folder"));
  }
  return lock;
}

uint64_t StoreLock::LastCommitIn(const std::string& path) { return ReadLine(path).commit_number; }

StoreLock::~StoreLock() { close(descriptor_); }

void StoreLock::Remember(uint64_t commit_number) {
  // Always as long as it can be, so that no rest of an older line is left.
  char line[64];
  const int bytes =
      absl::SNPrintF(line, sizeof(line), "process %-10d commit %-20u\n", getpid(), commit_number);
  // On a full disk nothing is remembered, and nothing is lost by it.
  (void)!pwrite(descriptor_, line, static_cast<size_t>(bytes), 0);
}

}  // namespace pylabhub::broker
