#include "proto/handover/packet.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace pylabhub::handover {
namespace {

constexpr absl::Duration kLongestPoll = absl::Hours(1);
// A listener whose queue is full is asked again after this.
constexpr absl::Duration kConnectRetry = absl::Milliseconds(2);
constexpr size_t kControlBytes = CMSG_SPACE(kMaxPacketDescriptors * sizeof(int));

absl::Status Broken(absl::string_view what, int error) {
  if (error == EPIPE || error == ECONNRESET) {
    return absl::UnavailableError("the other end of the socket is gone");
  }
  return absl::UnavailableError(absl::StrCat("cannot ", what, ": ", std::strerror(error)));
}

absl::Status Await(int socket, short events, absl::Time deadline) {
  for (;;) {
    const absl::Duration left = std::clamp(deadline - SteadyNow(), absl::ZeroDuration(), kLongestPoll);
    pollfd poller = {.fd = socket, .events = events, .revents = 0};
    // Rounded up: who has less than a millisecond left does not spin.
    const auto wait_ms = absl::ToInt64Milliseconds(absl::Ceil(left, absl::Milliseconds(1)));
    const int ready = poll(&poller, 1, static_cast<int>(wait_ms));
    if (ready > 0) return absl::OkStatus();
    if (ready < 0 && errno != EINTR) return Broken("wait for a socket", errno);
    if (SteadyNow() >= deadline) {
      return absl::DeadlineExceededError("the other end of the socket does not answer");
    }
  }
}

// Takes hold of every descriptor that came, so that none is leaked whatever else is wrong.
std::vector<Descriptor> TakeDescriptors(msghdr& message) {
  std::vector<Descriptor> descriptors;
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int number = -1;
      std::memcpy(&number, CMSG_DATA(part) + i * sizeof(int), sizeof(number));
      descriptors.emplace_back(number);
    }
  }
  return descriptors;
}

absl::StatusOr<sockaddr_un> AddressOf(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat("socket path \"", path, "\" is empty or longer than ",
                                                   sizeof(address.sun_path) - 1, " bytes"));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

absl::Status CannotConnect(const std::string& path, int error) {
  const std::string message =
      absl::StrCat("cannot connect to the broker's socket ", path, ": ", std::strerror(error));
  switch (error) {
    case ENOENT:
    case ECONNREFUSED:
      return absl::NotFoundError(
          absl::StrCat(message, "; is the broker on this host, and does this process see that folder?"));
    case EACCES:
    case EPERM:
      return absl::PermissionDeniedError(
          absl::StrCat(message, "; let this user in (the broker's hand_over.mode, and its folder's)"));
    default:
      return absl::UnavailableError(message);
  }
}

}  // namespace

absl::StatusOr<bool> TrySend(int socket, absl::string_view bytes, std::span<const int> descriptors) {
  if (bytes.size() > kMaxPacketBytes || descriptors.size() > kMaxPacketDescriptors) {
    return absl::InvalidArgumentError(absl::StrCat("a packet has at most ", kMaxPacketBytes, " bytes and ",
                                                   kMaxPacketDescriptors, " descriptors, not ", bytes.size(),
                                                   " and ", descriptors.size()));
  }
  iovec part = {const_cast<char*>(bytes.data()), bytes.size()};
  alignas(cmsghdr) std::array<std::byte, kControlBytes> control = {};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!descriptors.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
    cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(descriptors.size_bytes());
    std::memcpy(CMSG_DATA(rights), descriptors.data(), descriptors.size_bytes());
  }
  for (;;) {
    if (sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0) return true;
    if (errno == EAGAIN) return false;
    // Too many descriptors are under way between this user's processes: some will have been received in a moment.
    if (errno == ETOOMANYREFS) return false;
    if (errno != EINTR) return Broken("send", errno);
  }
}

absl::StatusOr<std::optional<Packet>> TryReceive(int socket) {
  Packet packet;
  packet.bytes.resize(kMaxPacketBytes);
  iovec part = {packet.bytes.data(), packet.bytes.size()};
  alignas(cmsghdr) std::array<std::byte, kControlBytes> control = {};
  msghdr message = {};
  ssize_t bytes = -1;
  do {
    message = {};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    bytes = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  } while (bytes < 0 && errno == EINTR);
  if (bytes < 0 && errno == EAGAIN) return std::optional<Packet>();
  if (bytes < 0) return Broken("receive", errno);

  packet.descriptors = TakeDescriptors(message);
  packet.bytes.resize(static_cast<size_t>(bytes));
  if ((message.msg_flags & MSG_CTRUNC) != 0) {
    return absl::ResourceExhaustedError(absl::StrCat("a packet came with more descriptors than ",
                                                     kMaxPacketDescriptors,
                                                     ", or than this process has room for"));
  }
  if ((message.msg_flags & MSG_TRUNC) != 0) {
    return absl::DataLossError(absl::StrCat("a packet came that is longer than ", kMaxPacketBytes, " bytes"));
  }
  // No message of ours is empty.
  if (bytes == 0) return absl::UnavailableError("the other end of the socket was closed");
  return std::optional<Packet>(std::move(packet));
}

absl::Time SteadyNow() {
  return absl::UnixEpoch() + absl::FromChrono(std::chrono::steady_clock::now().time_since_epoch());
}

absl::Status Send(int socket, absl::string_view bytes, std::span<const int> descriptors,
                  absl::Time deadline) {
  for (;;) {
    const absl::StatusOr<bool> sent = TrySend(socket, bytes, descriptors);
    if (!sent.ok()) return sent.status();
    if (*sent) return absl::OkStatus();
    if (absl::Status status = Await(socket, POLLOUT, deadline); !status.ok()) return status;
  }
}

absl::StatusOr<Packet> Receive(int socket, absl::Time deadline) {
  for (;;) {
    absl::StatusOr<std::optional<Packet>> packet = TryReceive(socket);
    if (!packet.ok()) return packet.status();
    if (packet->has_value()) return **std::move(packet);
    if (absl::Status status = Await(socket, POLLIN, deadline); !status.ok()) return status;
  }
}

absl::StatusOr<PeerCredentials> PeerCredentialsOf(int socket) {
  ucred credentials = {};
  socklen_t bytes = sizeof(credentials);
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &bytes) != 0) {
    return Broken("ask who is at the other end", errno);
  }
  return PeerCredentials{.pid = credentials.pid, .uid = credentials.uid, .gid = credentials.gid};
}

absl::StatusOr<Descriptor> Connect(const std::string& path, absl::Time deadline) {
  const absl::StatusOr<sockaddr_un> address = AddressOf(path);
  if (!address.ok()) return address.status();
  Descriptor descriptor(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!descriptor.is_open()) return Broken("make a socket", errno);
  for (;;) {
    if (connect(descriptor.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof(*address)) == 0) {
      return descriptor;
    }
    if (errno != EAGAIN && errno != EINTR) return CannotConnect(path, errno);
    if (SteadyNow() >= deadline) {
      return absl::DeadlineExceededError(absl::StrCat("the broker's socket ", path, " accepts nobody"));
    }
    absl::SleepFor(kConnectRetry);
  }
}

}  // namespace pylabhub::handover
