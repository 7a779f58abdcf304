// A broker inside this process: for pylabhub-broker, for tests, and for an application that wants to carry
// its own.
//
// It touches nothing of its host's: no signal, no umask, no logging set-up, no global switch. Several brokers
// live in one process.
//
// Thread safety: thread-safe.
// Time:          StartBroker returns when the port is bound and calls are answered; Stop waits for the calls
// in
//                progress, at most for options.shutdown_grace.
#ifndef PYLABHUB_BROKER_EMBEDDED_BROKER_H_
#define PYLABHUB_BROKER_EMBEDDED_BROKER_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "broker/access/tls_material.h"
#include "broker/channel_registry.h"
#include "broker/connection_ledger.h"
#include "broker/log_hook.h"
#include "proto/tls/certificate_set.h"

namespace pylabhub::broker {

// The Unix socket on which sealed memory is handed over to clients of this host (proto/pylabhub/v1/hand_over.proto).
struct HandOverOptions {
  // Empty: not offered. A file PATH.lock stands beside it.
  std::string socket = {};
  mode_t mode = 0660;
  // Who may use it. Empty: whoever the mode lets in.
  std::vector<uid_t> allowed_uids = {};
  // How many descriptors may be kept, in all and for the channels of one identity; at most half of what the process may have.
  uint64_t max_descriptors = 16'384;
  uint64_t max_descriptors_per_identity = 16'384;
  // How long a ticket is good.
  absl::Duration ticket_ttl = absl::Seconds(10);

  friend bool operator==(const HandOverOptions&, const HandOverOptions&) = default;
};

struct BrokerOptions {
  // An IPv4 or IPv6 address of this host; "0.0.0.0" or "::" stands for all of them.
  std::string address = "127.0.0.1";
  // 0: any free port.
  int port = 0;
  // A Unix socket for clients of the same host, with the same TLS; empty: none. A file PATH.lock stands beside it.
  std::string unix_socket = {};
  // Who may connect to it.
  mode_t unix_socket_mode = 0660;
  ConnectionCaps connection_caps = {};
  HandOverOptions hand_over = {};
  // Where Prometheus fetches metrics, as in metrics_server.h; empty: nowhere.
  std::string metrics_address = {};
  bool metrics_allow_remote = false;
  // Whether gRPC's channelz answers. It shows every client's address to every client, and every channel of this
  // process; once on, it is on for each broker that this process starts later.
  bool channelz = false;
  // The server's certificate and key, and the authority that client certificates must come from. Required, here or in
  // certificate_files.
  tls::TlsFiles tls = {};
  // The same, and who is revoked, in files that may change while the broker runs (access/certificate_keeper.h).
  CertificateFiles certificate_files = {};
  absl::Duration certificate_look_interval = absl::Seconds(1);
  // Where what the broker must not forget is kept, in a file called broker.db; one broker at a time. Empty: in memory only,
  // so that a broker that is started again knows nothing.
  std::string store_folder = {};
  // first_epoch and first_revision are set by StartBroker.
  RegistryOptions registry = {};
  // Who may do what, as in proto/policy/policy.proto; followed as it changes, look by look. Empty: whoever has a certificate may do
  // everything but call Admin and take channels from others.
  std::string policy_file = {};
  absl::Duration policy_look_interval = absl::Milliseconds(500);
  // The identities that may call Admin, with no policy_file: with one, its rules name them. None: nobody.
  std::vector<std::string> admins = {};
  // How many threads may serve calls at once; beyond, calls are refused with RESOURCE_EXHAUSTED.
  int max_threads = 256;
  absl::Duration shutdown_grace = absl::Seconds(5);
  LogHook log = nullptr;
};

class EmbeddedBroker {
 public:
  virtual ~EmbeddedBroker() = default;

  // The port that is bound, 1 to 65535.
  virtual int port() const = 0;

  // Where a client on this host connects: "127.0.0.1:5570".
  virtual std::string target() const = 0;

  // The same over options.unix_socket: "unix:/run/pylabhub/broker.sock"; empty if there is none.
  virtual std::string unix_target() const = 0;

  // Where metrics are answered: "127.0.0.1:9464"; empty if nowhere.
  virtual std::string metrics_address() const = 0;

  // Takes over at once what options.certificate_files and options.policy_file hold now; without it, that takes
  // certificate_look_interval, and twice policy_look_interval.
  //
  // Errors: what is wrong with them, as in access/tls_material.h and of ReloadPolicy; what was used before still is
  virtual absl::Status Reload() = 0;

  // Reads the policy anew now. When it returns OK, what the file says stands, and whoever held what it does not allow holds it
  // no more. Does nothing if there is no policy_file.
  //
  // Errors:
  //   kFailedPrecondition  the file is no good: a line for each problem. What stood before stands
  virtual absl::Status ReloadPolicy() = 0;

  // Returns as soon as the directory has answered a question, which takes microseconds unless it is stuck: for a watchdog.
  virtual void AskDirectory() = 0;

  // Nobody can connect any more, health says NOT_SERVING, new calls are refused, calls in progress finish or are cancelled after
  // shutdown_grace. Idempotent; the destructor does it too.
  virtual void Stop() = 0;
};

// Errors:
//   kInvalidArgument     an option is wrong: it is named
//   kFailedPrecondition  the policy is no good
//   kAlreadyExists       the port is taken, or the Unix socket, or the store
//   kPermissionDenied    this user may not bind the port, or make the socket
//   kFailedPrecondition  the certificates cannot be used, or the store is of another program or version
//   kDataLoss            the store is damaged so that nothing can be read; what to do is said
//   kUnavailable         the address is none of this host's, or anything else
absl::StatusOr<std::unique_ptr<EmbeddedBroker>> StartBroker(BrokerOptions options);

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_EMBEDDED_BROKER_H_
