// Sockets that listen: TCP, which two brokers never share, and Unix, whose file is removed when its broker is gone.
//
// Thread safety: free functions with no shared state; a UnixListeningSocket belongs to one thread at a time.
// Errors:        each names the address or path, the cause, and what to do.
#ifndef PYLABHUB_BROKER_LISTENING_SOCKET_H_
#define PYLABHUB_BROKER_LISTENING_SOCKET_H_

#include <sys/socket.h>
#include <sys/types.h>

#include <string>

#include "absl/status/statusor.h"
#include "proto/handover/descriptor.h"

namespace pylabhub::broker {

struct TcpListeningSocket {
  handover::Descriptor descriptor;
  int port = 0;  // the one that is bound
};

// `address` is an IPv4 or IPv6 address; "::" takes IPv4 too. `port` 0: any free one.
//
// Errors:
//   kInvalidArgument   no IP address, or a port beyond 65535
//   kAlreadyExists     the port is taken
//   kPermissionDenied  this user may not bind it
//   kUnavailable       anything else
absl::StatusOr<TcpListeningSocket> ListenOnTcp(const std::string& address, int port);

// "127.0.0.1:5570", "[::1]:5570".
std::string HostPort(const std::string& address, int port);

// A Unix socket in the file system. While it lives it holds a lock on the file PATH.lock beside it, so that of two
// brokers one fails; a socket that a killed broker left is replaced.
class UnixListeningSocket {
 public:
  // `mode`: who may connect. `type`: SOCK_STREAM or SOCK_SEQPACKET.
  //
  // Errors:
  //   kInvalidArgument     the path is empty or too long for a socket (107 bytes)
  //   kAlreadyExists       somebody listens there, or something that is no socket stands there
  //   kPermissionDenied    this user may not make it
  //   kUnavailable         anything else
  static absl::StatusOr<UnixListeningSocket> Listen(const std::string& path, mode_t mode,
                                                    int type = SOCK_STREAM);

  UnixListeningSocket() = default;
  ~UnixListeningSocket() { Close(); }
  UnixListeningSocket(UnixListeningSocket&&) = default;
  UnixListeningSocket& operator=(UnixListeningSocket&&) = default;

  const handover::Descriptor& descriptor() const { return descriptor_; }

  // Removes the socket and its lock.
  void Close();

 private:
  std::string path_;
  handover::Descriptor lock_;
  handover::Descriptor descriptor_;
};

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_LISTENING_SOCKET_H_
