#include "broker/handover/hand_over_server.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "broker/grpc_status.h"
#include "broker/refusal.h"

namespace pylabhub::broker {
namespace {

// How often idle connections are looked for, and how long to wait when nothing can be accepted.
constexpr absl::Duration kTick = absl::Milliseconds(250);
constexpr int kAcceptsInTurn = 16;

handover::Descriptor OpenReserve() { return handover::Descriptor(open("/dev/null", O_RDONLY | O_CLOEXEC)); }

HandOverDesk::Reply Refusal(const absl::Status& status) {
  HandOverDesk::Reply reply;
  *reply.message.mutable_status() = ToRpcStatus(status);
  return reply;
}

absl::Status NoRoom() {
  return Refuse(Reason::kLimitExceeded, "the broker has no room for so many descriptors now; retry later",
                {{"limit", "hand_over_descriptors"}}, absl::Seconds(1));
}

}  // namespace

absl::StatusOr<std::unique_ptr<HandOverServer>> HandOverServer::Start(HandOverServerOptions options,
                                                                      HandOverDesk& desk, Metrics& metrics) {
  auto listening = UnixListeningSocket::Listen(options.path, options.mode, SOCK_SEQPACKET);
  if (!listening.ok()) return listening.status();
  return std::unique_ptr<HandOverServer>(
      new HandOverServer(std::move(options), desk, metrics, *std::move(listening)));
}

HandOverServer::HandOverServer(HandOverServerOptions options, HandOverDesk& desk, Metrics& metrics,
                               UnixListeningSocket listening)
    : options_(std::move(options)),
      desk_(desk),
      refused_(metrics.AddCounter("pylabhub_broker_hand_over_connections_refused_total",
                                  "Connections for hand-overs that were closed as soon as they were "
                                  "accepted.")),
      listening_(std::move(listening)),
      reserve_(OpenReserve()),
      stop_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      thread_([this] { Run(); }) {}

HandOverServer::~HandOverServer() {
  eventfd_write(stop_.get(), 1);
  thread_.join();
}

void HandOverServer::Run() {
  std::vector<pollfd> sockets;
  while (true) {
    const bool has_room = connections_.size() < options_.max_connections;
    sockets = {{stop_.get(), POLLIN, 0}, {has_room ? listening_.descriptor().get() : -1, POLLIN, 0}};
    for (const Connection& connection : connections_) {
      const short wanted = connection.reply.has_value() ? POLLOUT : POLLIN;
      sockets.push_back({connection.socket.get(), wanted, 0});
    }
    // With nobody there, nothing can fall idle.
    poll(sockets.data(), sockets.size(),
         connections_.empty() ? -1 : static_cast<int>(absl::ToInt64Milliseconds(kTick)));
    if (sockets[0].revents != 0) return;
    size_t next = 2;
    for (Connection& connection : connections_) Serve(connection, sockets[next++].revents);
    DropIdle(absl::Now());
    if (sockets[1].revents != 0) Accept();
  }
}

void HandOverServer::Accept() {
  for (int i = 0; i < kAcceptsInTurn && connections_.size() < options_.max_connections; ++i) {
    handover::Descriptor socket(
        accept4(listening_.descriptor().get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!socket.is_open()) {
      if ((errno == EMFILE || errno == ENFILE) && RefuseForWantOfDescriptors()) continue;
      return;
    }
    const auto peer = handover::PeerCredentialsOf(socket.get());
    if (!peer.ok() || connections_of_uid_[peer->uid] >= options_.max_connections_per_uid) {
      refused_.Increment();
      continue;
    }
    ++connections_of_uid_[peer->uid];
    const auto& allowed = options_.allowed_uids;
    const bool is_allowed =
        allowed.empty() || std::find(allowed.begin(), allowed.end(), peer->uid) != allowed.end();
    connections_.push_back(
        {.socket = std::move(socket), .peer = *peer, .is_allowed = is_allowed, .idle_since = absl::Now()});
  }
}

bool HandOverServer::RefuseForWantOfDescriptors() {
  refused_.Increment();
  const bool had_reserve = reserve_.is_open();
  reserve_.Close();
  handover::Descriptor(accept4(listening_.descriptor().get(), nullptr, nullptr, SOCK_CLOEXEC)).Close();
  reserve_ = OpenReserve();
  return had_reserve;
}

void HandOverServer::Serve(Connection& connection, short ready) {
  if (ready == 0) return;
  if (connection.reply.has_value()) return SendReply(connection);
  Receive(connection);
}

void HandOverServer::Receive(Connection& connection) {
  auto packet = handover::TryReceive(connection.socket.get());
  if (packet.ok() && !packet->has_value()) return;
  connection.idle_since = absl::Now();
  if (packet.ok()) {
    connection.reply = AnswerTo(connection, **std::move(packet));
  } else if (absl::IsResourceExhausted(packet.status())) {
    connection.pending = PendingDeposit();
    connection.reply = Refusal(NoRoom());
  } else {
    connection.ends = true;
    return;
  }
  SendReply(connection);
}

HandOverDesk::Reply HandOverServer::AnswerTo(Connection& connection, handover::Packet packet) {
  if (!connection.is_allowed) {
    return Refusal(Refuse(Reason::kPolicyDenied,
                          absl::StrCat("user ", connection.peer.uid,
                                       " may not use the broker's socket (hand_over.allowed_uids)"),
                          {{"action", "hand_over"}}));
  }
  v1::HandOverRequest request;
  if (!request.ParseFromString(packet.bytes)) {
    return Refusal(RefuseFields({{"request", "is no pylabhub.v1.HandOverRequest"}}));
  }
  if (PendingDescriptors() + packet.descriptors.size() > desk_.max_descriptors()) {
    connection.pending = PendingDeposit();
    return Refusal(NoRoom());
  }
  return desk_.Answer(request, std::move(packet.descriptors), connection.peer, connection.pending);
}

void HandOverServer::SendReply(Connection& connection) {
  std::vector<int> descriptors;
  for (const handover::Descriptor& descriptor : connection.reply->descriptors) {
    descriptors.push_back(descriptor.get());
  }
  const auto sent =
      handover::TrySend(connection.socket.get(), connection.reply->message.SerializeAsString(), descriptors);
  if (sent.ok() && !*sent) return;
  connection.ends = !sent.ok();
  connection.reply.reset();
}

void HandOverServer::DropIdle(absl::Time now) {
  for (auto next = connections_.begin(); next != connections_.end();) {
    if (!next->ends && now - next->idle_since < options_.idle_timeout) {
      ++next;
      continue;
    }
    const auto counted = connections_of_uid_.find(next->peer.uid);
    if (--counted->second == 0) connections_of_uid_.erase(counted);
    next = connections_.erase(next);
  }
}

size_t HandOverServer::PendingDescriptors() const {
  size_t pending = 0;
  for (const Connection& connection : connections_) pending += connection.pending.memories.size();
  return pending;
}

}  // namespace pylabhub::broker
