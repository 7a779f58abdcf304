#include "broker/listener.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace pylabhub::broker {
namespace {

// How many connections of one socket are accepted before the other has its turn.
constexpr int kAcceptsInTurn = 64;
// How long to wait when nothing can be accepted, nor refused.
constexpr int kPauseMs = 20;
constexpr absl::Duration kComplaintInterval = absl::Seconds(1);

handover::Descriptor OpenReserve() { return handover::Descriptor(open("/dev/null", O_RDONLY | O_CLOEXEC)); }

// Leaves descriptors for files, logs and scrapes, however many connections are allowed.
ConnectionCaps WithinDescriptorLimit(ConnectionCaps caps) {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return caps;
  const size_t kept_back = std::min<size_t>(256, limit.rlim_cur / 4);
  caps.max_connections = std::min<size_t>(caps.max_connections, limit.rlim_cur - kept_back);
  return caps;
}

prometheus::Counter& RefusedFor(Metrics& metrics, const char* reason) {
  return metrics.AddCounter("pylabhub_broker_connections_refused_total",
                            "Connections closed as soon as they were accepted, by reason.",
                            {{"reason", reason}});
}

}  // namespace

absl::StatusOr<std::unique_ptr<Listener>> Listener::Bind(ListenerOptions options, Metrics& metrics) {
  auto tcp = ListenOnTcp(options.address, options.port);
  if (!tcp.ok()) return tcp.status();
  UnixListeningSocket unix_socket;
  if (!options.unix_socket.empty()) {
    auto made = UnixListeningSocket::Listen(options.unix_socket, options.unix_socket_mode);
    if (!made.ok()) return made.status();
    unix_socket = *std::move(made);
  }
  return std::unique_ptr<Listener>(
      new Listener(std::move(options), metrics, *std::move(tcp), std::move(unix_socket)));
}

Listener::Listener(ListenerOptions options, Metrics& metrics, TcpListeningSocket tcp,
                   UnixListeningSocket unix_socket)
    : options_(std::move(options)),
      ledger_(WithinDescriptorLimit(options_.caps)),
      tcp_(std::move(tcp)),
      unix_(std::move(unix_socket)),
      port_(tcp_.port),
      reserve_(OpenReserve()),
      stop_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      accepted_(metrics.AddCounter("pylabhub_broker_connections_accepted_total",
                                   "Connections accepted, before their TLS handshake.")),
      refused_full_table_(RefusedFor(metrics, "descriptor_table_full")),
      refused_too_many_(RefusedFor(metrics, "too_many")),
      refused_too_many_of_peer_(RefusedFor(metrics, "too_many_of_peer")) {
  metrics.ReadGauge("pylabhub_broker_connections", "Connections that are open.", {},
                    [this] { return static_cast<double>(ledger_.CountOpen()); });
}

void Listener::Start(Take take) {
  take_ = std::move(take);
  thread_ = std::thread([this] { Run(); });
}

void Listener::Stop() {
  if (thread_.joinable()) {
    eventfd_write(stop_.get(), 1);
    thread_.join();
  }
  tcp_.descriptor.Close();
  unix_.Close();
}

void Listener::Run() {
  pollfd sockets[] = {{stop_.get(), POLLIN, 0},
                      {tcp_.descriptor.get(), POLLIN, 0},
                      // poll ignores a negative descriptor.
                      {unix_.descriptor().get(), POLLIN, 0}};
  bool has_room = true;
  while (true) {
    // With no room, only the end is waited for, since the listening sockets stay readable.
    poll(sockets, has_room ? std::size(sockets) : 1, has_room ? -1 : kPauseMs);
    if (sockets[0].revents != 0) return;
    has_room = true;
    for (const pollfd& socket : {sockets[1], sockets[2]}) {
      if (socket.fd >= 0) has_room = AcceptFrom(socket.fd) && has_room;
    }
  }
}

bool Listener::AcceptFrom(int listening) {
  for (int i = 0; i < kAcceptsInTurn; ++i) {
    handover::Descriptor connection(accept4(listening, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (connection.is_open()) {
      Consider(listening, std::move(connection));
      continue;
    }
    switch (errno) {
      case EAGAIN:
        return true;
      case EMFILE:
      case ENFILE:
        if (!RefuseForWantOfDescriptors(listening)) return false;
        break;
      case ENOBUFS:
      case ENOMEM:
        return false;
      default:
        // The connection ended before it was accepted, or never came about.
        break;
    }
  }
  return true;
}

bool Listener::RefuseForWantOfDescriptors(int listening) {
  refused_full_table_.Increment();
  Complain(full_table_, "");
  const bool had_reserve = reserve_.is_open();
  reserve_.Close();
  handover::Descriptor(accept4(listening, nullptr, nullptr, SOCK_CLOEXEC)).Close();
  reserve_ = OpenReserve();
  return had_reserve;
}

void Listener::Consider(int listening, handover::Descriptor connection) {
  const std::string peer = PeerOf(connection.get());
  switch (ledger_.Admit(connection.get(), peer)) {
    case ConnectionLedger::Verdict::kAdmitted:
      accepted_.Increment();
      take_(listening, connection.Release());
      return;
    case ConnectionLedger::Verdict::kTooMany:
      refused_too_many_.Increment();
      return Complain(too_many_, peer);
    case ConnectionLedger::Verdict::kTooManyOfPeer:
      refused_too_many_of_peer_.Increment();
      return Complain(too_many_of_peer_, peer);
  }
}

void Listener::Complain(Complaint& complaint, const std::string& peer) {
  ++complaint.count;
  const absl::Time now = absl::Now();
  if (!options_.log || now < complaint.next_time) return;
  complaint.next_time = now + kComplaintInterval;
  LogRecord record = {.level = LogLevel::kWarning, .event = complaint.event};
  record.fields = {{"refused", absl::StrCat(std::exchange(complaint.count, 0))}};
  if (!peer.empty()) record.fields.emplace_back("last_peer", peer);
  options_.log(record);
}

}  // namespace pylabhub::broker
