// Sees to it that a gRPC channel that has lost its connection gets another one soon.
//
// gRPC 1.51 reads and writes its sockets in the threads of those who wait for answers. While a broker is away calls fail at once,
// so nobody waits, and what would connect again is looked at once in five seconds only, by gRPC's own timer: each look is one step
// of a handshake that has several, and has ten seconds. A process that has little to say would come back late, or never. So a
// thread waits here for the connection while there is none; while there is one it does nothing.
//
// Thread safety: thread-safe.
// Time:          the destructor takes up to 100 ms while there is no connection.
#ifndef PYLABHUB_CLIENT_RECONNECTOR_H_
#define PYLABHUB_CLIENT_RECONNECTOR_H_

#include <grpcpp/channel.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

namespace pylabhub {

class Reconnector {
 public:
  explicit Reconnector(std::shared_ptr<grpc::Channel> channel) : channel_(std::move(channel)) {}
  ~Reconnector();

  Reconnector(const Reconnector&) = delete;
  Reconnector& operator=(const Reconnector&) = delete;

  // Something failed. If there is no connection, one is seen to; does not wait for it.
  void Look();

 private:
  void Run();

  const std::shared_ptr<grpc::Channel> channel_;

  std::mutex mutex_;
  std::condition_variable changed_;
  // All under mutex_.
  bool is_wanted_ = false;
  bool is_stopping_ = false;
  std::thread thread_;  // from the first loss on
};

}  // namespace pylabhub

#endif  // PYLABHUB_CLIENT_RECONNECTOR_H_
