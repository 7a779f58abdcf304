// The Unix socket on which memory is handed over: one thread that accepts, reads a packet, has it answered, and sends the
// answer; nobody waits for a peer.
//
// Who says nothing for `idle_timeout`, or does not take its answer in that time, is disconnected. There may be so many
// connections in all, and so many of one user; beyond that, a user's are closed at once, and others wait until there is room. A
// full table of descriptors refuses, and is outlived.
//
// Thread safety: thread-safe.
// Time:          Start returns when clients may connect; the destructor at once.
#ifndef PYLABHUB_BROKER_HANDOVER_HAND_OVER_SERVER_H_
#define PYLABHUB_BROKER_HANDOVER_HAND_OVER_SERVER_H_

#include <sys/types.h>

#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "broker/handover/hand_over_desk.h"
#include "broker/listening_socket.h"
#include "broker/log_hook.h"
#include "broker/metrics.h"
#include "proto/handover/descriptor.h"

namespace pylabhub::broker {

struct HandOverServerOptions {
  std::string path = {};
  mode_t mode = 0660;
  // Who may use it. Empty: whoever can connect.
  std::vector<uid_t> allowed_uids = {};
  size_t max_connections = 256;
  size_t max_connections_per_uid = 64;
  absl::Duration idle_timeout = absl::Seconds(5);
};

class HandOverServer {
 public:
  // `desk` and `metrics` outlive the server. Errors: those of UnixListeningSocket::Listen.
  static absl::StatusOr<std::unique_ptr<HandOverServer>> Start(HandOverServerOptions options,
                                                               HandOverDesk& desk, Metrics& metrics);
  // Removes the socket.
  ~HandOverServer();
  HandOverServer(const HandOverServer&) = delete;
  HandOverServer& operator=(const HandOverServer&) = delete;

 private:
  struct Connection {
    handover::Descriptor socket;
    handover::PeerCredentials peer = {};
    bool is_allowed = true;
    absl::Time idle_since = absl::InfinitePast();
    PendingDeposit pending = {};
    // What is to be sent and did not go yet.
    std::optional<HandOverDesk::Reply> reply = std::nullopt;
    bool ends = false;
  };

  HandOverServer(HandOverServerOptions options, HandOverDesk& desk, Metrics& metrics,
                 UnixListeningSocket listening);
  void Run();
  void Accept();
  bool RefuseForWantOfDescriptors();
  void Serve(Connection& connection, short ready);
  void Receive(Connection& connection);
  void SendReply(Connection& connection);
  HandOverDesk::Reply AnswerTo(Connection& connection, handover::Packet packet);
  void DropIdle(absl::Time now);
  size_t PendingDescriptors() const;

  const HandOverServerOptions options_;
  HandOverDesk& desk_;
  prometheus::Counter& refused_;
  UnixListeningSocket listening_;
  handover::Descriptor reserve_;
  handover::Descriptor stop_;
  std::list<Connection> connections_;
  std::map<uid_t, size_t> connections_of_uid_;
  std::thread thread_;  // last: it uses the others
};

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_HANDOVER_HAND_OVER_SERVER_H_
