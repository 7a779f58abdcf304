#include "client/cli/input.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cli/interrupt.h"

namespace pylabhub::cli {
namespace {

// True if a read of `fd` would not wait, at the latest after `wait`. Of an error it says true: the read tells
// which.
bool IsReadable(int fd, absl::Duration wait) {
  pollfd wanted = {.fd = fd, .events = POLLIN, .revents = 0};
  const int ready = poll(&wanted, 1, static_cast<int>(absl::ToInt64Milliseconds(wait)));
  return ready > 0 || (ready < 0 && errno != EINTR);
}

}  // namespace

absl::StatusOr<Input> Input::Open(const std::string& path) {
  if (path == "-") return Input(STDIN_FILENO, "standard input");
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    return absl::UnavailableError(absl::StrCat("cannot read ", path, ": ", std::strerror(errno),
                                               "; give a file that can be read, or - for standard input"));
  }
  Input input(fd, path);
  struct stat info;
  if (fstat(fd, &info) == 0 && S_ISDIR(info.st_mode)) {
    return absl::UnavailableError(absl::StrCat("cannot read ", path, ": it is a folder; give a file"));
  }
  return input;
}

Input::Input(int fd, std::string name) : fd_(fd), name_(std::move(name)) {
  struct stat info;
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) return;
  // A shell may have read from it before.
  const off_t offset_bytes = std::max<off_t>(lseek(fd, 0, SEEK_CUR), 0);
  file_bytes_ = static_cast<uint64_t>(std::max<off_t>(info.st_size - offset_bytes, 0));
}

Input::Input(Input&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      name_(std::move(other.name_)),
      read_bytes_(other.read_bytes_),
      file_bytes_(other.file_bytes_) {}

Input::~Input() {
  if (fd_ > STDIN_FILENO) close(fd_);
}

absl::StatusOr<size_t> Input::ReadBlock(std::span<std::byte> block) {
  size_t filled = 0;
  while (filled < block.size()) {
    if (!IsReadable(fd_, filled == 0 ? kInterruptSlice : absl::ZeroDuration())) {
      if (Interrupted()) return absl::CancelledError("interrupted");
      if (filled > 0) break;
      continue;
    }
    const ssize_t got = read(fd_, block.data() + filled, block.size() - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0)
      return absl::UnavailableError(absl::StrCat("reading ", name_, " failed: ", std::strerror(errno)));
    if (got == 0) break;
    filled += static_cast<size_t>(got);
  }
  if (Interrupted()) return absl::CancelledError("interrupted");
  read_bytes_ += filled;
  return filled;
}

bool Input::is_terminal() const { return isatty(fd_) == 1; }

}  // namespace pylabhub::cli
