#include "broker/service_manager.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace pylabhub::broker {
namespace {

std::string Take(const char* variable) {
  const char* value = std::getenv(variable);
  std::string taken = value == nullptr ? "" : value;
  unsetenv(variable);
  return taken;
}

// WATCHDOG_USEC is meant for the process that WATCHDOG_PID names, or for any if that is unset.
std::optional<absl::Duration> HalfOfWatchdog() {
  const std::string microseconds = Take("WATCHDOG_USEC");
  const std::string pid = Take("WATCHDOG_PID");
  int64_t count = 0;
  if (!absl::SimpleAtoi(microseconds, &count) || count <= 0) return std::nullopt;
  if (!pid.empty() && pid != absl::StrCat(getpid())) return std::nullopt;
  return absl::Microseconds(count) / 2;
}

int64_t MonotonicMicroseconds() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return absl::ToInt64Microseconds(absl::DurationFromTimespec(now));
}

}  // namespace

ServiceManager ServiceManager::TakeFromEnvironment() { return {Take("NOTIFY_SOCKET"), HalfOfWatchdog()}; }

void ServiceManager::Ready(absl::string_view status) const { Tell(absl::StrCat("READY=1\nSTATUS=", status)); }

void ServiceManager::Reloading() const {
  Tell(absl::StrCat("RELOADING=1\nMONOTONIC_USEC=", MonotonicMicroseconds()));
}

void ServiceManager::Tell(absl::string_view state) const {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (notify_socket_.empty() || notify_socket_.size() >= sizeof(address.sun_path)) return;
  std::memcpy(address.sun_path, notify_socket_.data(), notify_socket_.size());
  if (address.sun_path[0] == '@') address.sun_path[0] = '\0';
  const int socket = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (socket < 0) return;
  const absl::Cleanup close_socket = [socket] { close(socket); };
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + notify_socket_.size());
  sendto(socket, state.data(), state.size(), MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&address),
         length);
}

}  // namespace pylabhub::broker
