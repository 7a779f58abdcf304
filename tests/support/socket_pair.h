// Two connected Unix sockets that keep packets apart, which a forked child has too.
#ifndef PYLABHUB_TESTS_SUPPORT_SOCKET_PAIR_H_
#define PYLABHUB_TESTS_SUPPORT_SOCKET_PAIR_H_

#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>

namespace pylabhub::testing {

class SocketPair {
 public:
  explicit SocketPair(int type = SOCK_SEQPACKET) {
    if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends_) != 0) std::abort();
  }
  ~SocketPair() {
    CloseFirst();
    close(ends_[1]);
  }
  SocketPair(const SocketPair&) = delete;
  SocketPair& operator=(const SocketPair&) = delete;

  int first() const { return ends_[0]; }
  int second() const { return ends_[1]; }
  void CloseFirst() {
    if (ends_[0] >= 0) close(ends_[0]);
    ends_[0] = -1;
  }

 private:
  int ends_[2] = {-1, -1};
};

}  // namespace pylabhub::testing

#endif  // PYLABHUB_TESTS_SUPPORT_SOCKET_PAIR_H_
