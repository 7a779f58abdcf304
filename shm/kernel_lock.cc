#include "shm/kernel_lock.h"

#include <fcntl.h>

#include <cerrno>

namespace pylabhub::shm {
namespace {

struct flock OneByte(short type, int64_t offset) {
  struct flock lock = {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = offset;
  lock.l_len = 1;
  return lock;
}

}  // namespace

absl::StatusOr<bool> TryLockByte(int fd, int64_t offset) {
  struct flock lock = OneByte(F_WRLCK, offset);
  if (fcntl(fd, F_OFD_SETLK, &lock) == 0) return true;
  if (errno == EAGAIN || errno == EACCES) return false;
  return absl::ErrnoToStatus(errno, "cannot lock a byte of a channel file (fcntl F_OFD_SETLK)");
}

absl::Status LockByte(int fd, int64_t offset) {
  struct flock lock = OneByte(F_WRLCK, offset);
  while (fcntl(fd, F_OFD_SETLKW, &lock) != 0) {
    if (errno != EINTR)
      return absl::ErrnoToStatus(errno, "cannot lock a byte of a channel file (fcntl F_OFD_SETLKW)");
  }
  return absl::OkStatus();
}

bool ByteIsLocked(int fd, int64_t offset) {
  // Asked as a reader: only a writer's lock stands in the way of that.
  struct flock lock = OneByte(F_RDLCK, offset);
  // A probe that fails says nothing about the peer; nobody may be taken for dead for it.
  if (fcntl(fd, F_OFD_GETLK, &lock) != 0) return true;
  return lock.l_type != F_UNLCK;
}

void UnlockByte(int fd, int64_t offset) {
  struct flock lock = OneByte(F_UNLCK, offset);
  fcntl(fd, F_OFD_SETLK, &lock);
}

}  // namespace pylabhub::shm
