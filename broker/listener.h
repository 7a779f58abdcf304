// Accepts connections and hands them over: gRPC's own listener stops for good once the process is out of descriptors,
// counts nothing, and takes no Unix socket's rights into account.
//
// When the table of descriptors is full, one that was kept in reserve is given up for a moment, so that who waits to be
// accepted is refused at once instead of hanging; serving goes on as soon as there is room. Whoever has as many
// connections as it may is refused likewise. Either is logged at most once a second.
//
// Thread safety: Start and Stop belong to one thread; the rest is thread-safe.
// Time:          Stop returns when nothing more will be handed over: at once.
#ifndef PYLABHUB_BROKER_LISTENER_H_
#define PYLABHUB_BROKER_LISTENER_H_

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "broker/connection_ledger.h"
#include "broker/listening_socket.h"
#include "broker/log_hook.h"
#include "broker/metrics.h"
#include "proto/handover/descriptor.h"

namespace pylabhub::broker {

struct ListenerOptions {
  std::string address = "127.0.0.1";
  // 0: any free port.
  int port = 0;
  // Empty: no Unix socket.
  std::string unix_socket = {};
  mode_t unix_socket_mode = 0660;
  ConnectionCaps caps = {};
  LogHook log = nullptr;
};

class Listener {
 public:
  // Takes a connection: non-blocking, closed on exec, now its own to close. `listener_descriptor` is the socket that
  // it came from.
  using Take = std::function<void(int listener_descriptor, int descriptor)>;

  // Binds and listens, so that clients may connect; they wait until Start. `metrics` outlives the listener.
  //
  // Errors: those of listening_socket.h.
  static absl::StatusOr<std::unique_ptr<Listener>> Bind(ListenerOptions options, Metrics& metrics);

  ~Listener() { Stop(); }

  void Start(Take take);

  // Closes the listening sockets; what was handed over stays. Idempotent.
  void Stop();

  // The TCP port that is bound.
  int port() const { return port_; }

 private:
  // Says that something happens at most once a second, and how often it did since.
  struct Complaint {
    const char* event;
    absl::Time next_time = absl::InfinitePast();
    uint64_t count = 0;
  };

  Listener(ListenerOptions options, Metrics& metrics, TcpListeningSocket tcp,
           UnixListeningSocket unix_socket);

  void Run();
  // False: there is no room to accept anybody, nor to refuse.
  bool AcceptFrom(int listening);
  bool RefuseForWantOfDescriptors(int listening);
  void Consider(int listening, handover::Descriptor connection);
  void Complain(Complaint& complaint, const std::string& peer);

  const ListenerOptions options_;
  ConnectionLedger ledger_;
  TcpListeningSocket tcp_;
  UnixListeningSocket unix_;
  const int port_;
  // Given up for a moment when there are no others.
  handover::Descriptor reserve_;
  // Readable when the thread is to end.
  handover::Descriptor stop_;

  Complaint full_table_ = {"descriptor_table_full"};
  Complaint too_many_ = {"too_many_connections"};
  Complaint too_many_of_peer_ = {"too_many_connections_of_peer"};
  prometheus::Counter& accepted_;
  prometheus::Counter& refused_full_table_;
  prometheus::Counter& refused_too_many_;
  prometheus::Counter& refused_too_many_of_peer_;

  Take take_;
  std::thread thread_;
};

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_LISTENER_H_
