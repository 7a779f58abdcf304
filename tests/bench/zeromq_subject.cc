#include "tests/bench/zeromq_subject.h"

#include <sched.h>
#include <unistd.h>
#include <zmq.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "tests/bench/transport.h"
#include "tests/bench/waiting.h"

namespace pylabhub::bench {
namespace {

absl::Status Failed(absl::string_view what) {
  return absl::UnavailableError(absl::StrCat("ZeroMQ: ", what, ": ", zmq_strerror(zmq_errno())));
}

// A context and its only socket.
class Socket {
 public:
  // A socket that holds `messages` at most on its side of the wire, in a process that is pinned to one of `cores`.
  static absl::StatusOr<Socket> Make(int type, int messages, const Cores& cores) {
    Socket made(zmq_ctx_new(), nullptr);
    // Its own thread may run on either core: on the one where this process is pinned it would wait for us.
    for (const int core : {cores.measuring, cores.other}) {
      zmq_ctx_set(made.context_, ZMQ_THREAD_AFFINITY_CPU_ADD, core);
    }
    made.socket_ = zmq_socket(made.context_, type);
    if (made.socket_ == nullptr) return Failed("no socket");
    const int patience_ms = static_cast<int>(kPatienceSeconds * 1000);
    // Readers try to connect until the writer is there, by default only every 100 ms.
    const bool set = made.Set(ZMQ_LINGER, patience_ms) && made.Set(ZMQ_RECONNECT_IVL, 1) &&
                     made.Set(ZMQ_SNDHWM, messages) && made.Set(ZMQ_RCVHWM, messages) &&
                     made.Set(ZMQ_SNDTIMEO, patience_ms) && made.Set(ZMQ_RCVTIMEO, patience_ms);
    if (!set) return Failed("an option is refused");
    return made;
  }

  Socket(Socket&& other) noexcept
      : context_(std::exchange(other.context_, nullptr)), socket_(std::exchange(other.socket_, nullptr)) {}
  Socket& operator=(Socket&&) = delete;
  ~Socket() {
    if (socket_ != nullptr) zmq_close(socket_);
    if (context_ != nullptr) zmq_ctx_term(context_);
  }

  bool Set(int option, int value) const {
    return zmq_setsockopt(socket_, option, &value, sizeof(value)) == 0;
  }
  void* get() const { return socket_; }

 private:
  Socket(void* context, void* socket) : context_(context), socket_(socket) {}

  void* context_;
  void* socket_;
};

// PUSH to PULL; to several readers XPUB, told to wait rather than drop, to SUB. Messages are written and read in
// ZeroMQ's own memory.
class ZeromqTransport {
 public:
  static constexpr absl::string_view kName = "zeromq";
  static bool Carries(const Bench& bench) {
    if (bench.shape == Shape::kRoundTrip) return bench.waiting != Waiting::kAdaptive;
    return bench.shape == Shape::kStream;
  }
  static absl::StatusOr<std::unique_ptr<ZeromqTransport>> Create(const Bench& bench) {
    static int trials = 0;
    const absl::StatusOr<Cores> cores = FirstTwoCores();
    if (!cores.ok()) return cores.status();
    return std::make_unique<ZeromqTransport>(
        bench, absl::StrCat("ipc://@pylabhub.bench.", getpid(), ".", ++trials), *cores);
  }

  ZeromqTransport(const Bench& bench, std::string name, const Cores& cores)
      : bench_(bench), name_(std::move(name)), cores_(cores) {}

  class Writer {
   public:
    Writer(const Bench& bench, Socket socket)
        : bytes_(bench.payload_bytes),
          subscribers_(bench.readers > 1 ? bench.readers : 0),
          socket_(std::move(socket)) {}

    template <typename Fill>
    bool Write(uint64_t /*deadline_ticks*/, Fill fill) {
      for (; subscribers_ > 0; --subscribers_) {
        char subscription[8];
        if (zmq_recv(socket_.get(), subscription, sizeof(subscription), 0) < 0) return false;
      }
      zmq_msg_t message;
      if (zmq_msg_init_size(&message, bytes_) != 0) return false;
      fill(zmq_msg_data(&message));
      if (zmq_msg_send(&message, socket_.get(), 0) >= 0) return true;
      zmq_msg_close(&message);
      return false;
    }

   private:
    const size_t bytes_;
    uint32_t subscribers_;  // that are still to come
    Socket socket_;
  };

  class Reader {
   public:
    Reader(const Bench& bench, Socket socket)
        : bytes_(bench.payload_bytes),
          spins_(bench.waiting == Waiting::kSpin && bench.shape == Shape::kRoundTrip),
          socket_(std::move(socket)) {}

    template <typename Use>
    bool Read(uint64_t deadline_ticks, Use use) {
      zmq_msg_t message;
      zmq_msg_init(&message);
      const auto arrived = [&] { return zmq_msg_recv(&message, socket_.get(), ZMQ_DONTWAIT) >= 0; };
      const bool received =
          spins_ ? SpinUntil(deadline_ticks, arrived) : zmq_msg_recv(&message, socket_.get(), 0) >= 0;
      const bool whole = received && zmq_msg_size(&message) == bytes_;
      if (whole) use(zmq_msg_data(&message));
      zmq_msg_close(&message);
      return whole;
    }

   private:
    const size_t bytes_;
    const bool spins_;
    Socket socket_;
  };

  absl::StatusOr<std::unique_ptr<Writer>> OpenWriter(Lane lane) {
    const bool several = bench_.readers > 1;
    auto socket = Make(several ? ZMQ_XPUB : ZMQ_PUSH);
    if (!socket.ok()) return socket.status();
    if (several && !socket->Set(ZMQ_XPUB_NODROP, 1)) return Failed("XPUB_NODROP");
    if (several && !socket->Set(ZMQ_XPUB_VERBOSE, 1)) return Failed("XPUB_VERBOSE");
    if (zmq_bind(socket->get(), NameOf(lane).c_str()) != 0) return Failed("bind");
    return std::make_unique<Writer>(bench_, *std::move(socket));
  }

  absl::StatusOr<std::unique_ptr<Reader>> OpenReader(Lane lane, uint32_t /*place*/) {
    const bool several = bench_.readers > 1;
    auto socket = Make(several ? ZMQ_SUB : ZMQ_PULL);
    if (!socket.ok()) return socket.status();
    if (several && zmq_setsockopt(socket->get(), ZMQ_SUBSCRIBE, "", 0) != 0) return Failed("subscribe");
    // It goes on trying in the background until the writer is there.
    if (zmq_connect(socket->get(), NameOf(lane).c_str()) != 0) return Failed("connect");
    return std::make_unique<Reader>(bench_, *std::move(socket));
  }

 private:
  absl::StatusOr<Socket> Make(int type) const {
    return Socket::Make(type, static_cast<int>(bench_.capacity_slots), cores_);
  }
  std::string NameOf(Lane lane) const {
    return absl::StrCat(name_, lane == Lane::kThere ? ".there" : ".back");
  }

  const Bench bench_;
  const std::string name_;
  const Cores cores_;
};

}  // namespace

Subject ZeromqSubject() { return TransportSubject<ZeromqTransport>(); }

}  // namespace pylabhub::bench
