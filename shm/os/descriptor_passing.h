// Descriptors from one process to another, over a Unix socket. A parcel is one packet: a small header, a note that says
// what the descriptors are for, and the descriptors themselves.
//
//   0   8   magic, "PLHPARC1"
//   8   4   number of descriptors
//   12  4   bytes of the note, which follows
//
// What arrives is input: a packet that is not exactly such a parcel, with as many descriptors as the header and the
// receiver say, is refused, and every descriptor that came with it is closed.
//
// Thread safety: thread-safe; parcels on one socket do not mix.
#ifndef PYLABHUB_SHM_OS_DESCRIPTOR_PASSING_H_
#define PYLABHUB_SHM_OS_DESCRIPTOR_PASSING_H_

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "shm/os/fork_guard.h"

namespace pylabhub::shm {

// The kernel takes 253 at most.
inline constexpr size_t kMaxParcelDescriptors = 250;
inline constexpr size_t kMaxNoteBytes = 1024;

struct Parcel {
  std::vector<UniqueFd> descriptors;
  std::string note;
};

// Sends a parcel; waits at most `timeout` for room in the socket, which is a connected AF_UNIX socket of type
// SOCK_SEQPACKET. The descriptors stay the sender's, too: never pass on one that locks were taken through, since the
// receiver would hold them as well.
//
// Errors:
//   kInvalidArgument   another kind of socket, too many descriptors (or none), too long a note
//   kDeadlineExceeded  the receiver does not receive
//   kUnavailable       the receiver is gone, or another answer of the operating system, in words
absl::Status SendParcel(int socket, std::span<const int> descriptors, absl::string_view note,
                        absl::Duration timeout);

// Receives a parcel of exactly `descriptor_count` descriptors, each close-on-exec.
//
// Errors: as above; and
//   kFailedPrecondition  what came is no such parcel; the next one may be
//   kUnavailable         the sender has closed its end
absl::StatusOr<Parcel> ReceiveParcel(int socket, size_t descriptor_count, absl::Duration timeout);

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_OS_DESCRIPTOR_PASSING_H_
