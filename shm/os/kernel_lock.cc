#include "shm/os/kernel_lock.h"

#include <fcntl.h>

#include <cerrno>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "shm/os/deadline.h"

namespace pylabhub::shm {
namespace {

constexpr absl::Duration kPoll = absl::Microseconds(200);

struct flock OneByte(short type, int64_t offset) {
  struct flock lock = {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = offset;
  lock.l_len = 1;
  return lock;
}

// Asked as a reader: only a writer's lock stands in the way of that.
bool RangeIsLocked(int fd, struct flock lock) {
  // A probe that fails says nothing about the peer; nobody may be taken for dead for it.
  if (fcntl(fd, F_OFD_GETLK, &lock) != 0) return true;
  return lock.l_type != F_UNLCK;
}

}  // namespace

absl::StatusOr<bool> TryLockByte(int fd, int64_t offset) {
  struct flock lock = OneByte(F_WRLCK, offset);
  if (fcntl(fd, F_OFD_SETLK, &lock) == 0) return true;
  if (errno == EAGAIN || errno == EACCES) return false;
  return absl::ErrnoToStatus(errno, "cannot lock a byte of a channel file (fcntl F_OFD_SETLK)");
}

absl::StatusOr<bool> TryLockByteFor(int fd, int64_t offset, absl::Duration patience) {
  // Not F_OFD_SETLKW: it has no deadline, and a holder that is stopped would stop everybody.
  const Deadline deadline(patience);
  for (;;) {
    absl::StatusOr<bool> locked = TryLockByte(fd, offset);
    if (!locked.ok() || *locked || deadline.passed()) return locked;
    absl::SleepFor(kPoll);
  }
}

bool ByteIsLocked(int fd, int64_t offset) { return RangeIsLocked(fd, OneByte(F_RDLCK, offset)); }

bool AnyByteIsLocked(int fd) {
  struct flock all = OneByte(F_RDLCK, 0);
  all.l_len = 0;  // to the end, however far that is
  return RangeIsLocked(fd, all);
}

void UnlockByte(int fd, int64_t offset) {
  struct flock lock = OneByte(F_UNLCK, offset);
  fcntl(fd, F_OFD_SETLK, &lock);
}

}  // namespace pylabhub::shm
