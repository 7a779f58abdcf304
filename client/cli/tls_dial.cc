#include "client/cli/tls_dial.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace pylabhub::cli {
namespace {

constexpr char kUnixScheme[] = "unix:";

Socket NewSocket(int family, absl::Duration timeout) {
  Socket made(socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const timeval limit = absl::ToTimeval(timeout);
  // Of connecting too.
  setsockopt(made.descriptor(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
  setsockopt(made.descriptor(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  return made;
}

std::string MendOf(int error, const Place& place) {
  switch (error) {
    case ECONNREFUSED:
      return "start the broker, or check the port; a broker for other hosts needs --address 0.0.0.0";
    case EINPROGRESS:
    case EAGAIN:
    case ETIMEDOUT:
      return "nothing answers: check the address, the route, and firewalls in between";
    case ENOENT:
      return "start the broker with --unix-socket " + place.path;
    case EACCES:
      return "this user may not use the socket: see the broker's --unix-socket-mode, and the modes of the "
             "folders above";
    default:
      return "check the address and the network";
  }
}

Dialled Failed(int error, const Place& place) {
  const bool late = error == EINPROGRESS || error == EAGAIN;
  return {.message =
              absl::StrCat("cannot connect to ", place.text(), ": ", std::strerror(late ? ETIMEDOUT : error)),
          .mend = MendOf(error, place)};
}

Dialled DialUnix(const Place& place, absl::Duration timeout) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (place.path.size() >= sizeof(address.sun_path)) return Failed(ENAMETOOLONG, place);
  place.path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  Socket socket = NewSocket(AF_UNIX, timeout);
  if (connect(socket.descriptor(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return Failed(errno, place);
  }
  return {.socket = std::move(socket)};
}

}  // namespace

std::string Place::text() const {
  if (host.empty()) return kUnixScheme + path;
  return host.find(':') == std::string::npos ? absl::StrCat(host, ":", port)
                                             : absl::StrCat("[", host, "]:", port);
}

Place PlaceOf(const std::string& address, const std::string& server_name) {
  Place place;
  absl::string_view rest = address;
  if (absl::ConsumePrefix(&rest, kUnixScheme)) {
    place.path = std::string(rest);
    place.name = "localhost";
  } else {
    const size_t colon = rest.rfind(':');
    const size_t bracket = rest.rfind(']');
    // Of an IPv6 address without brackets, the last colon is its own.
    const bool has_port = colon != absl::string_view::npos &&
                          (bracket == absl::string_view::npos ? rest.find(':') == colon : colon > bracket);
    if (has_port) {
      place.port = std::string(rest.substr(colon + 1));
      rest = rest.substr(0, colon);
    }
    if (absl::ConsumePrefix(&rest, "[")) absl::ConsumeSuffix(&rest, "]");
    place.host = std::string(rest);
    place.name = place.host;
  }
  if (!server_name.empty()) place.name = server_name;
  return place;
}

bool IsAddress(const std::string& name) {
  std::array<unsigned char, sizeof(in6_addr)> ignored;
  return inet_pton(AF_INET, name.c_str(), ignored.data()) == 1 ||
         inet_pton(AF_INET6, name.c_str(), ignored.data()) == 1;
}

Dialled Dial(const Place& place, absl::Duration timeout) {
  if (place.host.empty()) return DialUnix(place, timeout);
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int error = getaddrinfo(place.host.c_str(), place.port.c_str(), &hints, &found); error != 0) {
    return {.message = absl::StrCat("cannot find ", place.text(), ": ", gai_strerror(error)),
            .mend = "check the spelling of the host's name, and this host's name service"};
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> addresses(found, freeaddrinfo);
  int error = ECONNREFUSED;
  for (const addrinfo* next = found; next != nullptr; next = next->ai_next) {
    Socket socket = NewSocket(next->ai_family, timeout);
    if (connect(socket.descriptor(), next->ai_addr, next->ai_addrlen) == 0)
      return {.socket = std::move(socket)};
    error = errno;
  }
  return Failed(error, place);
}

}  // namespace pylabhub::cli
