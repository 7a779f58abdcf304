// Serves Broker.Watch: a few threads with a completion queue each, for all streams.
//
// Thread safety: thread-safe but for AddQueues and Start, which come once, in this order, around the server's
// start.
#ifndef PYLABHUB_BROKER_WATCH_SERVER_H_
#define PYLABHUB_BROKER_WATCH_SERVER_H_

#include <grpcpp/server_builder.h>

#include <memory>
#include <vector>

#include "absl/time/time.h"
#include "broker/access/access_control.h"
#include "broker/call_desk.h"
#include "broker/directory.h"
#include "broker/log_hook.h"
#include "broker/watch_feed.h"
#include "broker/watch_loop.h"

namespace pylabhub::broker {

class WatchServer {
 public:
  // All of them outlive the server.
  WatchServer(WatchableService& service, Directory& directory, CallDesk& desk, const AccessControl& access,
              WatchFeed& feed, LogHook log);
  // Stop was called, if AddQueues was.
  ~WatchServer();

  WatchServer(const WatchServer&) = delete;
  WatchServer& operator=(const WatchServer&) = delete;

  void AddQueues(grpc::ServerBuilder& builder);
  void Start();

  // Ends streams whose clients may not call any more, soon.
  void CheckPeers();

  // Lets every stream find out soon whether its caller may still be told of the same channels.
  void NoticeRights();

  // Refuses new streams with SHUTTING_DOWN from now on, and ends those that there are so at `end_time`, after what
  // is waiting for them was said. The earliest time counts.
  void Drain(absl::Time end_time);

  // Returns whether no stream is left, after at most `timeout`.
  bool AwaitNoStreams(absl::Duration timeout);

  // Ends the threads. The gRPC server was shut down, or never started. Idempotent.
  void Stop();

 private:
  WatchShared shared_;
  std::vector<std::unique_ptr<WatchLoop>> loops_;
};

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_WATCH_SERVER_H_
