// Packets over a Unix socket of type SOCK_SEQPACKET: bytes, and descriptors beside them.
//
// What arrives is input. A packet that is too long, or with more descriptors than fit or than this process has room for, is
// refused as a whole, and every descriptor that came with it is closed. Descriptors arrive close-on-exec.
//
// Thread safety: thread-safe; packets on one socket do not mix.
// Errors:        kInvalidArgument    too long, or too many descriptors, to be sent
//                kDeadlineExceeded   the other end is not ready in time
//                kResourceExhausted  what came has more descriptors than a packet may, or than this process has room for
//                kDataLoss           what came is too long, and was cut off
//                kUnavailable        the other end is gone, or another answer of the operating system, in words
#ifndef PYLABHUB_PROTO_HANDOVER_PACKET_H_
#define PYLABHUB_PROTO_HANDOVER_PACKET_H_

#include <sys/types.h>

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "proto/handover/descriptor.h"

namespace pylabhub::handover {

inline constexpr size_t kMaxPacketBytes = size_t{64} << 10;
// The kernel's own limit, SCM_MAX_FD.
inline constexpr size_t kMaxPacketDescriptors = 253;

struct Packet {
  std::string bytes = {};
  std::vector<Descriptor> descriptors = {};
};

// Sends at once; false if the socket has no room now. The descriptors stay the caller's, too.
absl::StatusOr<bool> TrySend(int socket, absl::string_view bytes, std::span<const int> descriptors);

// What has come; nothing if nothing has.
absl::StatusOr<std::optional<Packet>> TryReceive(int socket);

// The clock of the deadlines here. Steady: a step of the host's clock makes no wait longer or shorter. absl::Time serves as its
// type; its origin means nothing.
absl::Time SteadyNow();

// The same, waiting until `deadline` (of SteadyNow) at the latest.
absl::Status Send(int socket, absl::string_view bytes, std::span<const int> descriptors, absl::Time deadline);
absl::StatusOr<Packet> Receive(int socket, absl::Time deadline);

// Who is at the other end, as the kernel noted when the connection was made. In another user or pid namespace: as seen from
// here.
struct PeerCredentials {
  pid_t pid = 0;
  uid_t uid = 0;
  gid_t gid = 0;

  friend bool operator==(const PeerCredentials&, const PeerCredentials&) = default;
};
absl::StatusOr<PeerCredentials> PeerCredentialsOf(int socket);

// Connects to the socket at `path`, which listens.
//
// Errors, beside those above: kInvalidArgument (the path is empty, or too long for a socket), kNotFound (nothing there, or
// nobody listens), kPermissionDenied.
absl::StatusOr<Descriptor> Connect(const std::string& path, absl::Time deadline);

}  // namespace pylabhub::handover

#endif  // PYLABHUB_PROTO_HANDOVER_PACKET_H_
