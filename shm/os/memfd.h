// Memory without a name: its descriptor is the right to use it. It can be sealed, and a seal holds for everybody and for
// good, whatever rights a process has.
//
// Thread safety: thread-safe.
#ifndef PYLABHUB_SHM_OS_MEMFD_H_
#define PYLABHUB_SHM_OS_MEMFD_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "shm/os/fork_guard.h"
#include "shm/os/mapping.h"

namespace pylabhub::shm {

enum class Writers : uint8_t {
  kCreatorAlone,  // through the mapping that it made before it sealed; everybody else reads
  kEverybody,     // who has the descriptor
};

// An empty memfd that can be sealed, and not be executed. `name` is for those who look at it in /proc; at most 249 bytes.
absl::StatusOr<UniqueFd> CreateMemfd(const std::string& name);

// From now on its size is fixed: nobody can cut it short under a mapping of somebody else, which would then be killed by
// SIGBUS. With kCreatorAlone nobody can write to it, map it for writing, or open it for that, except through what is mapped
// already. Sized and mapped before.
absl::Status Seal(int memfd, Writers writers);

// Opens anew what `descriptor`, which somebody handed over, stands for: locks belong to an open(), and with the same one
// this process's would be the sender's. `descriptor` stays as it is.
//
// Errors:
//   kFailedPrecondition  not a memfd, not sealed by Seal(writers), empty, or without memory for all of its pages: whoever
//                        maps it could be killed by the sender
//   kPermissionDenied    it may not be opened so
//   kUnavailable         any other answer of the operating system, in words
absl::StatusOr<UniqueFd> ReopenSealed(int descriptor, Writers writers, Access access);

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_OS_MEMFD_H_
