// The end of a service manager, to which a service tells how it does.
#ifndef PYLABHUB_TESTS_BROKER_NOTIFY_SOCKET_H_
#define PYLABHUB_TESTS_BROKER_NOTIFY_SOCKET_H_

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstring>
#include <string>

namespace pylabhub::testing {

class NotifySocket {
 public:
  // `path`: as in NOTIFY_SOCKET; at most 107 bytes.
  explicit NotifySocket(const std::string& path) : socket_(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof(address.sun_path) - 1);
    if (path[0] == '@') address.sun_path[0] = '\0';
    const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
    EXPECT_EQ(bind(socket_, reinterpret_cast<sockaddr*>(&address), length), 0);
  }
  ~NotifySocket() { close(socket_); }
  NotifySocket(const NotifySocket&) = delete;
  NotifySocket& operator=(const NotifySocket&) = delete;

  // The next that is told; waits for it.
  std::string Read() const { return Receive(0); }
  // What was told and not yet read; empty if there is nothing.
  std::string ReadNow() const { return Receive(MSG_DONTWAIT); }

 private:
  std::string Receive(int flags) const {
    std::array<char, 512> text = {};
    const ssize_t bytes = recv(socket_, text.data(), text.size(), flags);
    return bytes < 0 ? "" : std::string(text.data(), static_cast<size_t>(bytes));
  }

  int socket_;
};

}  // namespace pylabhub::testing

#endif  // PYLABHUB_TESTS_BROKER_NOTIFY_SOCKET_H_
