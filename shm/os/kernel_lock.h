// Locks on single bytes of a file, which the kernel drops when their holder dies, however it dies.
//
// They are open-file-description locks (fcntl(2), F_OFD_SETLK): they belong to the open() that took them, not
// to a process, so pid reuse and pid namespaces cannot confuse them, and two handles in one process see each
// other. Probes through the holder's own descriptor see nothing: each handle opens its files anew.
//
// Thread safety: thread-safe. A probe takes about 0.2 us.
#ifndef PYLABHUB_SHM_OS_KERNEL_LOCK_H_
#define PYLABHUB_SHM_OS_KERNEL_LOCK_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace pylabhub::shm {

// Locks byte `offset` of `fd`, which must be open for writing. False if somebody else holds it.
absl::StatusOr<bool> TryLockByte(int fd, int64_t offset);

// The same, but for a lock that others hold for a moment only: waits for it, at most `patience`.
absl::StatusOr<bool> TryLockByteFor(int fd, int64_t offset, absl::Duration patience);

// True if another open() of the file holds byte `offset` through TryLockByte. `fd` needs no right to write,
// and a reader's own locks are not seen: nobody who may only read can pretend that a writer lives.
bool ByteIsLocked(int fd, int64_t offset);

// True if another open() of the file holds any byte of it so.
bool AnyByteIsLocked(int fd);

// Gives byte `offset` back. Not needed before closing `fd`.
void UnlockByte(int fd, int64_t offset);

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_OS_KERNEL_LOCK_H_
