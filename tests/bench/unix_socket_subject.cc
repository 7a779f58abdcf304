#include "tests/bench/unix_socket_subject.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "tests/bench/transport.h"
#include "tests/bench/waiting.h"

namespace pylabhub::bench {
namespace {

// A descriptor that is closed with its owner.
class Socket {
 public:
  explicit Socket(int fd) : fd_(fd) {}
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Socket& operator=(Socket&&) = delete;
  ~Socket() {
    if (fd_ >= 0) close(fd_);
  }
  int fd() const { return fd_; }

 private:
  int fd_;
};

// In the abstract namespace, where nothing is left behind.
struct Address {
  explicit Address(const std::string& name) {
    bytes.sun_family = AF_UNIX;
    std::memcpy(bytes.sun_path + 1, name.data(), name.size());
    size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&bytes); }

  sockaddr_un bytes = {};
  socklen_t size = 0;
};

int MillisecondsUntil(uint64_t deadline_ticks) {
  const uint64_t now_ticks = NowTicks();
  if (deadline_ticks <= now_ticks) return 0;
  return static_cast<int>(static_cast<double>(deadline_ticks - now_ticks) * NsPerTick() / 1e6) + 1;
}

bool WaitFor(int fd, short event, uint64_t deadline_ticks) {
  pollfd waiting = {.fd = fd, .events = event, .revents = 0};
  return poll(&waiting, 1, MillisecondsUntil(deadline_ticks)) == 1;
}

// After a call that would have had to wait: whether to try again.
bool MayRetry(bool spins, int fd, short event, uint64_t deadline_ticks) {
  if (errno != EAGAIN) return false;
  return spins ? NowTicks() <= deadline_ticks : WaitFor(fd, event, deadline_ticks);
}

// Messages of one size in a stream, so no header is needed. Both ends of a lane have a buffer: the kernel copies.
class UnixSocketTransport {
 public:
  static constexpr absl::string_view kName = "unix";
  static bool Carries(const Bench& bench) {
    switch (bench.shape) {
      case Shape::kRoundTrip:
        return bench.waiting != Waiting::kAdaptive;
      case Shape::kStream:
      case Shape::kOpen:
      case Shape::kWriterDeath:
        return true;
      default:
        return false;
    }
  }
  static absl::StatusOr<std::unique_ptr<UnixSocketTransport>> Create(const Bench& bench) {
    static int trials = 0;
    return std::make_unique<UnixSocketTransport>(bench,
                                                 absl::StrCat("pylabhub.bench.", getpid(), ".", ++trials));
  }

  UnixSocketTransport(const Bench& bench, std::string name) : bench_(bench), name_(std::move(name)) {}

  class Writer {
   public:
    Writer(const Bench& bench, Socket listener)
        : readers_(bench.readers),
          spins_(bench.waiting == Waiting::kSpin && bench.shape == Shape::kRoundTrip),
          listener_(std::move(listener)),
          buffer_(bench.payload_bytes) {}

    template <typename Fill>
    bool Write(uint64_t deadline_ticks, Fill fill) {
      if (connections_.empty() && !AcceptAll(deadline_ticks)) return false;
      fill(buffer_.data());
      return std::all_of(connections_.begin(), connections_.end(),
                         [&](const Socket& connection) { return SendTo(connection.fd(), deadline_ticks); });
    }

   private:
    bool AcceptAll(uint64_t deadline_ticks) {
      while (connections_.size() < readers_) {
        if (!WaitFor(listener_.fd(), POLLIN, deadline_ticks)) return false;
        Socket connection(accept4(listener_.fd(), nullptr, nullptr, SOCK_CLOEXEC));
        if (connection.fd() < 0) return false;
        connections_.push_back(std::move(connection));
      }
      return true;
    }

    bool SendTo(int fd, uint64_t deadline_ticks) {
      for (size_t sent = 0; sent < buffer_.size();) {
        const ssize_t count =
            send(fd, buffer_.data() + sent, buffer_.size() - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (count > 0) {
          sent += static_cast<size_t>(count);
        } else if (!MayRetry(spins_, fd, POLLOUT, deadline_ticks)) {
          return false;
        }
      }
      return true;
    }

    const uint32_t readers_;
    const bool spins_;
    Socket listener_;
    std::vector<Socket> connections_;
    std::vector<char> buffer_;
  };

  class Reader {
   public:
    Reader(const Bench& bench, Socket connection)
        : bytes_(bench.payload_bytes),
          spins_(bench.waiting == Waiting::kSpin && bench.shape == Shape::kRoundTrip),
          connection_(std::move(connection)),
          // Small messages are taken many at a time, as a buffered reader does it.
          buffer_(std::max<size_t>(bytes_, kReadBytes / bytes_ * bytes_)) {}

    template <typename Use>
    bool Read(uint64_t deadline_ticks, Use use) {
      if (!FillUp(deadline_ticks)) return false;
      use(buffer_.data() + used_);
      used_ += bytes_;
      if (used_ == filled_) used_ = filled_ = 0;
      return true;
    }

    bool LearnsOfTheWritersEnd(uint64_t deadline_ticks) {
      char byte;
      return WaitFor(connection_.fd(), POLLIN, deadline_ticks) && recv(connection_.fd(), &byte, 1, 0) == 0;
    }

   private:
    static constexpr size_t kReadBytes = size_t{64} * 1024;

    // Until there is a whole message at used_.
    bool FillUp(uint64_t deadline_ticks) {
      while (filled_ - used_ < bytes_) {
        if (used_ != 0 && buffer_.size() - used_ < bytes_) {
          std::memmove(buffer_.data(), buffer_.data() + used_, filled_ - used_);
          filled_ -= std::exchange(used_, 0);
        }
        const ssize_t count =
            recv(connection_.fd(), buffer_.data() + filled_, buffer_.size() - filled_, MSG_DONTWAIT);
        if (count > 0) {
          filled_ += static_cast<size_t>(count);
        } else if (count == 0 || !MayRetry(spins_, connection_.fd(), POLLIN, deadline_ticks)) {
          return false;
        }
      }
      return true;
    }

    const size_t bytes_;
    const bool spins_;
    Socket connection_;
    std::vector<char> buffer_;
    size_t used_ = 0;
    size_t filled_ = 0;
  };

  absl::StatusOr<std::unique_ptr<Writer>> OpenWriter(Lane lane) {
    Socket listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const Address address(NameOf(lane));
    if (listener.fd() < 0 || bind(listener.fd(), address.get(), address.size) != 0 ||
        listen(listener.fd(), SOMAXCONN) != 0) {
      return absl::ErrnoToStatus(errno, "cannot listen on a Unix socket");
    }
    return std::make_unique<Writer>(bench_, std::move(listener));
  }

  absl::StatusOr<std::unique_ptr<Reader>> OpenReader(Lane lane, uint32_t /*place*/) {
    const Address address(NameOf(lane));
    Socket connection(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const bool connected = SpinUntil(NowTicks() + TicksOf(kPatienceSeconds), [&] {
      return connect(connection.fd(), address.get(), address.size) == 0;
    });
    if (!connected) return absl::ErrnoToStatus(errno, "cannot connect to a Unix socket");
    return std::make_unique<Reader>(bench_, std::move(connection));
  }

 private:
  std::string NameOf(Lane lane) const {
    return absl::StrCat(name_, lane == Lane::kThere ? ".there" : ".back");
  }

  const Bench bench_;
  const std::string name_;
};

}  // namespace

Subject UnixSocketSubject() { return TransportSubject<UnixSocketTransport>(); }

}  // namespace pylabhub::bench
