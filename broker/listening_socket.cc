#include "broker/listening_socket.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace pylabhub::broker {
namespace {

// How long data may stay unacknowledged before the kernel gives a connection up.
constexpr int kUserTimeoutMs = 20'000;

bool IsIpv6(const std::string& address) { return absl::StrContains(address, ':'); }

struct Address {
  sockaddr_storage storage = {};
  socklen_t length = 0;

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

absl::StatusOr<Address> Parse(const std::string& address, int port) {
  if (port < 0 || port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat("port ", port, " is not 0 to 65535"));
  }
  Address parsed;
  int known = 0;
  if (IsIpv6(address)) {
    auto& in6 = reinterpret_cast<sockaddr_in6&>(parsed.storage);
    in6.sin6_family = AF_INET6;
    in6.sin6_port = htons(static_cast<uint16_t>(port));
    known = inet_pton(AF_INET6, address.c_str(), &in6.sin6_addr);
    parsed.length = sizeof(in6);
  } else {
    auto& in4 = reinterpret_cast<sockaddr_in&>(parsed.storage);
    in4.sin_family = AF_INET;
    in4.sin_port = htons(static_cast<uint16_t>(port));
    known = inet_pton(AF_INET, address.c_str(), &in4.sin_addr);
    parsed.length = sizeof(in4);
  }
  if (known == 1) return parsed;
  return absl::InvalidArgumentError(
      absl::StrCat("address \"", address, "\" is no IP address; use for instance 127.0.0.1, 0.0.0.0 or ::"));
}

absl::Status CannotListen(const std::string& where, int error) {
  const std::string what = absl::StrCat("cannot listen on ", where, ": ");
  switch (error) {
    case EADDRINUSE:
      return absl::AlreadyExistsError(
          absl::StrCat(what,
                       "the port is taken, perhaps by another broker; stop it, or choose another port (0 "
                       "takes any that is free)"));
    case EACCES:
      return absl::PermissionDeniedError(
          absl::StrCat(what, "this user may not bind the port; choose one from 1024 up"));
    default:
      return absl::UnavailableError(absl::StrCat(what, std::strerror(error)));
  }
}

absl::Status CannotMake(const std::string& path, int error) {
  const std::string message = absl::StrCat("cannot listen on unix:", path, ": ", std::strerror(error),
                                           "; choose a path in a folder that this user may write to");
  return error == EACCES || error == EPERM || error == EROFS ? absl::PermissionDeniedError(message)
                                                             : absl::UnavailableError(message);
}

void Set(int descriptor, int level, int name, int value) {
  setsockopt(descriptor, level, name, &value, sizeof(value));
}

int BoundPort(int descriptor) {
  Address bound;
  bound.length = sizeof(bound.storage);
  getsockname(descriptor, reinterpret_cast<sockaddr*>(&bound.storage), &bound.length);
  return ntohs(bound.storage.ss_family == AF_INET6
                   ? reinterpret_cast<const sockaddr_in6&>(bound.storage).sin6_port
                   : reinterpret_cast<const sockaddr_in&>(bound.storage).sin_port);
}

// Locks PATH.lock for as long as the descriptor lives; none if somebody else has it.
absl::StatusOr<handover::Descriptor> Lock(const std::string& path) {
  const std::string lock_path = path + ".lock";
  while (true) {
    handover::Descriptor lock(open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!lock.is_open()) return CannotMake(path, errno);
    if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) return handover::Descriptor();
    // The one who had it may have removed the file between the two calls.
    struct stat ours = {};
    struct stat there = {};
    fstat(lock.get(), &ours);
    if (stat(lock_path.c_str(), &there) == 0 && ours.st_ino == there.st_ino && ours.st_dev == there.st_dev) {
      return lock;
    }
  }
}

absl::Status SomebodyListens(const std::string& path) {
  return absl::AlreadyExistsError(absl::StrCat("cannot listen on unix:", path,
                                               ": another process listens there, perhaps another broker; "
                                               "stop it, or choose another path"));
}

// Whether nobody answers at a socket that stands in the file system.
bool IsDeserted(const Address& address) {
  const handover::Descriptor probe(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  return connect(probe.get(), address.get(), address.length) != 0 && errno == ECONNREFUSED;
}

absl::Status RemoveDeserted(const std::string& path, const Address& address) {
  struct stat status = {};
  if (lstat(path.c_str(), &status) != 0) return absl::OkStatus();
  if (!S_ISSOCK(status.st_mode)) {
    return absl::AlreadyExistsError(absl::StrCat("cannot listen on unix:", path,
                                                 ": what stands there is no socket; remove it, or choose "
                                                 "another path"));
  }
  if (!IsDeserted(address)) return SomebodyListens(path);
  unlink(path.c_str());
  return absl::OkStatus();
}

}  // namespace

std::string HostPort(const std::string& address, int port) {
  return IsIpv6(address) ? absl::StrCat("[", address, "]:", port) : absl::StrCat(address, ":", port);
}

absl::StatusOr<TcpListeningSocket> ListenOnTcp(const std::string& address, int port) {
  const auto parsed = Parse(address, port);
  if (!parsed.ok()) return parsed.status();
  const std::string where = HostPort(address, port);
  handover::Descriptor descriptor(
      socket(parsed->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!descriptor.is_open()) return CannotListen(where, errno);
  // Connections inherit what is set here. No SO_REUSEPORT: two brokers on one port would share the clients.
  Set(descriptor.get(), SOL_SOCKET, SO_REUSEADDR, 1);
  Set(descriptor.get(), IPPROTO_TCP, TCP_NODELAY, 1);
  Set(descriptor.get(), IPPROTO_TCP, TCP_USER_TIMEOUT, kUserTimeoutMs);
  if (IsIpv6(address)) Set(descriptor.get(), IPPROTO_IPV6, IPV6_V6ONLY, 0);
  if (bind(descriptor.get(), parsed->get(), parsed->length) != 0 ||
      listen(descriptor.get(), SOMAXCONN) != 0) {
    return CannotListen(where, errno);
  }
  const int bound_port = BoundPort(descriptor.get());
  return TcpListeningSocket{std::move(descriptor), bound_port};
}

absl::StatusOr<UnixListeningSocket> UnixListeningSocket::Listen(const std::string& path, mode_t mode,
                                                                int type) {
  Address address;
  auto& un = reinterpret_cast<sockaddr_un&>(address.storage);
  un.sun_family = AF_UNIX;
  address.length = sizeof(un);
  if (path.empty() || path.size() >= sizeof(un.sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat("the path \"", path, "\" is not 1 to ",
                                                   sizeof(un.sun_path) - 1,
                                                   " bytes long, which is all that a Unix socket's may be"));
  }
  std::memcpy(un.sun_path, path.data(), path.size());

  absl::StatusOr<handover::Descriptor> lock = Lock(path);
  if (!lock.ok()) return lock.status();
  if (!lock->is_open()) return SomebodyListens(path);
  if (absl::Status status = RemoveDeserted(path, address); !status.ok()) {
    unlink((path + ".lock").c_str());
    return status;
  }
  UnixListeningSocket made;
  made.descriptor_ = handover::Descriptor(socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  // The mode is set before anybody can connect.
  if (bind(made.descriptor_.get(), address.get(), address.length) != 0 || chmod(path.c_str(), mode) != 0 ||
      listen(made.descriptor_.get(), SOMAXCONN) != 0) {
    const int error = errno;
    unlink((path + ".lock").c_str());
    return CannotMake(path, error);
  }
  made.path_ = path;
  made.lock_ = *std::move(lock);
  return made;
}

void UnixListeningSocket::Close() {
  descriptor_.Close();
  if (!lock_.is_open()) return;
  unlink(path_.c_str());
  unlink((path_ + ".lock").c_str());
  lock_.Close();
}

}  // namespace pylabhub::broker
