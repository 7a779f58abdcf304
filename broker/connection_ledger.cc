#include "broker/connection_ledger.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"

namespace pylabhub::broker {
namespace {

// Unique among all sockets since the host started; 0 if `descriptor` is no open socket.
uint64_t CookieOf(int descriptor) {
  uint64_t cookie = 0;
  socklen_t length = sizeof(cookie);
  return getsockopt(descriptor, SOL_SOCKET, SO_COOKIE, &cookie, &length) == 0 ? cookie : 0;
}

std::string Ipv4Text(const in_addr& address) {
  char text[INET_ADDRSTRLEN] = "";
  inet_ntop(AF_INET, &address, text, sizeof(text));
  return text;
}

std::string Ipv6Text(in6_addr address) {
  if (IN6_IS_ADDR_V4MAPPED(&address)) {
    in_addr mapped = {};
    std::memcpy(&mapped, &address.s6_addr[12], sizeof(mapped));
    return Ipv4Text(mapped);
  }
  // Whoever has one address has its network's other 2^64 too.
  std::fill(&address.s6_addr[8], &address.s6_addr[16], uint8_t{0});
  char text[INET6_ADDRSTRLEN] = "";
  inet_ntop(AF_INET6, &address, text, sizeof(text));
  return absl::StrCat(text, "/64");
}

std::string UserText(int descriptor) {
  ucred credentials = {};
  socklen_t length = sizeof(credentials);
  if (getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0) return "unknown";
  return absl::StrCat("uid ", credentials.uid);
}

}  // namespace

std::string PeerOf(int descriptor) {
  sockaddr_storage peer = {};
  socklen_t length = sizeof(peer);
  if (getpeername(descriptor, reinterpret_cast<sockaddr*>(&peer), &length) != 0) return "unknown";
  switch (peer.ss_family) {
    case AF_INET:
      return Ipv4Text(reinterpret_cast<const sockaddr_in&>(peer).sin_addr);
    case AF_INET6:
      return Ipv6Text(reinterpret_cast<const sockaddr_in6&>(peer).sin6_addr);
    case AF_UNIX:
      return UserText(descriptor);
    default:
      return "unknown";
  }
}

ConnectionLedger::Verdict ConnectionLedger::Admit(int descriptor, absl::string_view peer) {
  absl::MutexLock lock(&mutex_);
  // Whatever had this number before is closed, or it could not have been given out again.
  Forget(descriptor);
  if (connections_.size() >= caps_.max_connections) ForgetClosed();
  if (connections_.size() >= caps_.max_connections) return Verdict::kTooMany;
  if (CountOf(peer) >= caps_.max_connections_per_peer) ForgetClosedOf(peer);
  if (CountOf(peer) >= caps_.max_connections_per_peer) return Verdict::kTooManyOfPeer;
  connections_.emplace(descriptor, Connection{CookieOf(descriptor), std::string(peer)});
  by_peer_[peer].insert(descriptor);
  return Verdict::kAdmitted;
}

size_t ConnectionLedger::CountOpen() {
  absl::MutexLock lock(&mutex_);
  ForgetClosed();
  return connections_.size();
}

size_t ConnectionLedger::CountOf(absl::string_view peer) const {
  const auto found = by_peer_.find(peer);
  return found == by_peer_.end() ? 0 : found->second.size();
}

void ConnectionLedger::Forget(int descriptor) {
  const auto found = connections_.find(descriptor);
  if (found == connections_.end()) return;
  const auto of_peer = by_peer_.find(found->second.peer);
  of_peer->second.erase(descriptor);
  if (of_peer->second.empty()) by_peer_.erase(of_peer);
  connections_.erase(found);
}

void ConnectionLedger::ForgetClosed() {
  std::vector<int> closed;
  for (const auto& [descriptor, connection] : connections_) {
    if (CookieOf(descriptor) != connection.cookie) closed.push_back(descriptor);
  }
  for (const int descriptor : closed) Forget(descriptor);
}

void ConnectionLedger::ForgetClosedOf(absl::string_view peer) {
  std::vector<int> closed;
  for (const int descriptor : by_peer_.find(peer)->second) {
    if (CookieOf(descriptor) != connections_.at(descriptor).cookie) closed.push_back(descriptor);
  }
  for (const int descriptor : closed) Forget(descriptor);
}

}  // namespace pylabhub::broker
