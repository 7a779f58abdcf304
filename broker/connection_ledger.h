// Which connections are open, and how many each peer has.
//
// Whoever serves a connection closes it without telling anybody here. So nothing is kept up to date: a connection is
// remembered by its descriptor and by the cookie that the kernel gave its socket, and whether it is still open is asked
// of the kernel when it matters, which is when a peer seems to have as many as it may. A look costs about 0.2 us.
//
// Thread safety: thread-safe.
#ifndef PYLABHUB_BROKER_CONNECTION_LEDGER_H_
#define PYLABHUB_BROKER_CONNECTION_LEDGER_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"

namespace pylabhub::broker {

struct ConnectionCaps {
  size_t max_connections = 8'192;
  // Of one TCP address (of IPv6: one /64 network), or of one user over the Unix socket.
  size_t max_connections_per_peer = 2'048;

  friend bool operator==(const ConnectionCaps&, const ConnectionCaps&) = default;
};

class ConnectionLedger {
 public:
  explicit ConnectionLedger(const ConnectionCaps& caps) : caps_(caps) {}

  enum class Verdict { kAdmitted, kTooMany, kTooManyOfPeer };

  // Whether `descriptor`, a socket that was just accepted, may stay; if so, it is counted for as long as it is open.
  Verdict Admit(int descriptor, absl::string_view peer);

  // How many of those admitted are open.
  size_t CountOpen();

 private:
  struct Connection {
    uint64_t cookie;
    std::string peer;
  };

  size_t CountOf(absl::string_view peer) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Forget(int descriptor) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ForgetClosed() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ForgetClosedOf(absl::string_view peer) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const ConnectionCaps caps_;
  absl::Mutex mutex_;
  // By descriptor.
  absl::flat_hash_map<int, Connection> connections_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<std::string, absl::flat_hash_set<int>> by_peer_ ABSL_GUARDED_BY(mutex_);
};

// Whom the connection `descriptor` is from, as the ledger counts: "127.0.0.1", "2001:db8:1:2::/64", or for a Unix
// socket "uid 1000". "unknown" if the kernel does not say.
std::string PeerOf(int descriptor);

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_CONNECTION_LEDGER_H_
