#include "shm/os/descriptor_passing.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "shm/os/deadline.h"

namespace pylabhub::shm {
namespace {

constexpr uint64_t kParcelMagic = 0x3143524150'484C50;  // "PLHPARC1"
constexpr absl::Duration kLongestPoll = absl::Hours(1);

struct Header {
  uint64_t magic = kParcelMagic;
  uint32_t descriptor_count = 0;
  uint32_t note_bytes = 0;
};
static_assert(sizeof(Header) == 16);

constexpr size_t kMaxPacketBytes = sizeof(Header) + kMaxNoteBytes;
constexpr size_t kControlBytes = CMSG_SPACE(kMaxParcelDescriptors * sizeof(int));

absl::Status CheckSocket(int socket) {
  const auto option = [&](int name) {
    int value = -1;
    socklen_t bytes = sizeof(value);
    return getsockopt(socket, SOL_SOCKET, name, &value, &bytes) == 0 ? value : -1;
  };
  if (option(SO_DOMAIN) == AF_UNIX && option(SO_TYPE) == SOCK_SEQPACKET) return absl::OkStatus();
  return absl::InvalidArgumentError("descriptors are passed over an AF_UNIX socket of type SOCK_SEQPACKET");
}

absl::Status Malformed(absl::string_view what) {
  return absl::FailedPreconditionError(absl::StrCat("what came is not a parcel of pylabhub: ", what));
}

// Waits until `socket` is ready for `events`.
absl::Status Await(int socket, short events, const Deadline& deadline) {
  for (;;) {
    const absl::Duration left = std::min(deadline.left(), kLongestPoll);
    pollfd poller = {.fd = socket, .events = events, .revents = 0};
    // Rounded up: who has less than a millisecond left does not spin.
    const int ready = poll(
        &poller, 1, static_cast<int>(absl::ToInt64Milliseconds(absl::Ceil(left, absl::Milliseconds(1)))));
    if (ready > 0) return absl::OkStatus();
    if (ready < 0 && errno != EINTR) return absl::ErrnoToStatus(errno, "cannot wait for a socket (poll)");
    if (deadline.passed()) return absl::DeadlineExceededError("the other end of the socket is not ready");
  }
}

// Calls `transfer` when the socket is ready, again and again until it did something. What it returned.
template <typename Transfer>
absl::StatusOr<size_t> Complete(int socket, short events, absl::Duration timeout, Transfer transfer) {
  const Deadline deadline(timeout);
  for (;;) {
    const ssize_t bytes = transfer();
    if (bytes >= 0) return static_cast<size_t>(bytes);
    if (errno == EPIPE || errno == ECONNRESET)
      return absl::UnavailableError("the other end of the socket is gone");
    if (errno == EINTR) continue;
    if (errno != EAGAIN)
      return absl::Status(absl::StatusCode::kUnavailable,
                          absl::StrCat("cannot pass descriptors: ", strerror(errno)));
    if (absl::Status status = Await(socket, events, deadline); !status.ok()) return status;
  }
}

// Takes hold of every descriptor that came, so that none is leaked whatever else is wrong.
std::vector<UniqueFd> TakeDescriptors(msghdr& message) {
  std::vector<UniqueFd> descriptors;
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof(fd));
      descriptors.emplace_back(fd);
    }
  }
  return descriptors;
}

}  // namespace

absl::Status SendParcel(int socket, std::span<const int> descriptors, absl::string_view note,
                        absl::Duration timeout) {
  if (absl::Status status = CheckSocket(socket); !status.ok()) return status;
  if (descriptors.empty() || descriptors.size() > kMaxParcelDescriptors) {
    return absl::InvalidArgumentError(
        absl::StrCat("a parcel has 1 to ", kMaxParcelDescriptors, " descriptors, not ", descriptors.size()));
  }
  if (note.size() > kMaxNoteBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("a parcel's note has at most ", kMaxNoteBytes, " bytes, not ", note.size()));
  }
  Header header{.descriptor_count = static_cast<uint32_t>(descriptors.size()),
                .note_bytes = static_cast<uint32_t>(note.size())};
  iovec parts[] = {{&header, sizeof(header)}, {const_cast<char*>(note.data()), note.size()}};
  alignas(cmsghdr) std::array<std::byte, kControlBytes> control = {};
  msghdr message = {};
  message.msg_iov = parts;
  message.msg_iovlen = std::size(parts);
  message.msg_control = control.data();
  message.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
  cmsghdr* rights = CMSG_FIRSTHDR(&message);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(descriptors.size_bytes());
  std::memcpy(CMSG_DATA(rights), descriptors.data(), descriptors.size_bytes());
  return Complete(socket, POLLOUT, timeout,
                  [&] { return sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT); })
      .status();
}

absl::StatusOr<Parcel> ReceiveParcel(int socket, size_t descriptor_count, absl::Duration timeout) {
  if (absl::Status status = CheckSocket(socket); !status.ok()) return status;
  std::array<char, kMaxPacketBytes> packet = {};
  iovec part = {packet.data(), packet.size()};
  alignas(cmsghdr) std::array<std::byte, kControlBytes> control = {};
  msghdr message = {};
  Parcel parcel;
  const absl::StatusOr<size_t> bytes = Complete(socket, POLLIN, timeout, [&] {
    message = {};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    return recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  });
  if (!bytes.ok()) return bytes.status();
  parcel.descriptors = TakeDescriptors(message);

  if (*bytes == 0) return absl::UnavailableError("the other end of the socket was closed");
  if ((message.msg_flags & MSG_CTRUNC) != 0)
    return Malformed("more descriptors than a parcel may have, or than this process has room for");
  if ((message.msg_flags & MSG_TRUNC) != 0) return Malformed("too long");
  Header header;
  if (*bytes < sizeof(header)) return Malformed("too short");
  std::memcpy(&header, packet.data(), sizeof(header));
  if (header.magic != kParcelMagic) return Malformed("it begins otherwise");
  if (header.note_bytes != *bytes - sizeof(header)) return Malformed("its note is not as long as it says");
  if (header.descriptor_count != parcel.descriptors.size() || header.descriptor_count != descriptor_count) {
    return Malformed(absl::StrCat("it says ", header.descriptor_count, " descriptors and has ",
                                  parcel.descriptors.size(), ", where ", descriptor_count, " are expected"));
  }
  parcel.note.assign(packet.data() + sizeof(header), header.note_bytes);
  return parcel;
}

}  // namespace pylabhub::shm
