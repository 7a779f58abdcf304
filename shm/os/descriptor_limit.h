// Room for many descriptors. A process may usually have 1024 (the soft limit), a part of which a channel of a thousand consumers
// takes for each of them; the hard limit, up to which it may help itself, is far higher.
#ifndef PYLABHUB_SHM_OS_DESCRIPTOR_LIMIT_H_
#define PYLABHUB_SHM_OS_DESCRIPTOR_LIMIT_H_

#include <cstddef>

#include "absl/status/status.h"

namespace pylabhub::shm {

// Makes room for `more` descriptors beside those that are open, and as many again: raises this process's soft limit
// (RLIMIT_NOFILE) if need be, for good. A program that calls select(2) itself, which cannot have descriptors from 1024 on, must
// not let that happen.
//
// Thread safety: thread-safe.
// Errors: kResourceExhausted if the hard limit is too low; the message says which limit is needed.
absl::Status MakeRoomForDescriptors(size_t more);

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_OS_DESCRIPTOR_LIMIT_H_
