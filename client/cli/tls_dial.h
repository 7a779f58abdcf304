// A socket to a broker's address, or why there is none.
#pragma once

#include <unistd.h>

#include <string>
#include <utility>

#include "absl/time/time.h"

namespace pylabhub::cli {

// Where a broker is, and the name that its certificate must be good for.
struct Place {
  std::string host = {};  // empty: a Unix socket
  std::string port = "5570";
  std::string path = {};
  std::string name = {};

  std::string text() const;
};

// Reads "host:port", "host", "[::1]:port" or "unix:/path". `server_name`, if not empty, is the name.
Place PlaceOf(const std::string& address, const std::string& server_name);

// Whether a name is an IP address.
bool IsAddress(const std::string& name);

// Closes a socket at its end.
class Socket {
 public:
  explicit Socket(int descriptor = -1) : descriptor_(descriptor) {}
  ~Socket() {
    if (descriptor_ >= 0) close(descriptor_);
  }
  Socket(Socket&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  Socket& operator=(Socket&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }

  int descriptor() const { return descriptor_; }

 private:
  int descriptor_;
};

struct Dialled {
  Socket socket = Socket();
  // Not empty: why there is none, and what to do.
  std::string message = {};
  std::string mend = {};
};

// Connects; what is done with the socket later also takes `timeout` at most.
Dialled Dial(const Place& place, absl::Duration timeout);

}  // namespace pylabhub::cli
