// One thread, its completion queue, and the streams of Watch that live on it.
//
// Everything that a stream does happens on this thread, so streams need no lock. Other threads only wake it
// (by an alarm on the queue) and tell it that the end is near.
//
// Thread safety: Wake, CheckPeers, Drain, AwaitNoStreams and Stop are thread-safe; the rest is for streams, on the thread.
// Time:          a stream's work on the thread is at most about a millisecond at a time.
#ifndef PYLABHUB_BROKER_WATCH_LOOP_H_
#define PYLABHUB_BROKER_WATCH_LOOP_H_

#include <grpcpp/alarm.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/support/slice.h>

#include <atomic>
#include <condition_variable>
#include <memory>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "broker/access/access_control.h"
#include "broker/call_desk.h"
#include "broker/completion.h"
#include "broker/directory.h"
#include "broker/log_hook.h"
#include "broker/watch_feed.h"
#include "broker/watch_stream.h"
#include "broker/watch_wire.h"
#include "proto/pylabhub/v1/broker.grpc.pb.h"

namespace pylabhub::broker {

// The Broker service whose Watch is served from completion queues, in bytes, beside its synchronous methods.
using WatchableService = v1::Broker::WithRawMethod_Watch<v1::Broker::Service>;

// What all streams of a broker have in common.
struct WatchShared {
  WatchableService& service;
  Directory& directory;
  CallDesk& desk;
  const AccessControl& access;
  WatchFeed& feed;
  LogHook log;
  EventEncoder encoder;
};

class WatchLoop {
 public:
  // `shared` outlives the loop.
  WatchLoop(WatchShared& shared, size_t number, std::unique_ptr<grpc::ServerCompletionQueue> queue);
  // Stop was called, and before it the server's Shutdown.
  ~WatchLoop();

  WatchLoop(const WatchLoop&) = delete;
  WatchLoop& operator=(const WatchLoop&) = delete;

  // Begins to serve. Once, after the server was started.
  void Start();

  // Lets the thread look what the feed has for its streams, and whether the policy has changed.
  void Wake();

  // Lets the thread look soon whether its streams' clients may still call. It also does so once a second.
  void CheckPeers();

  // Refuses new streams from now on, and ends those that there are at `end_time`, after what is waiting was said.
  // The earliest time counts.
  void Drain(absl::Time end_time);

  // Returns whether there is none, after at most `timeout`.
  bool AwaitNoStreams(absl::Duration timeout);

  // Ends the thread. The server was shut down, or never started.
  void Stop();

  // For streams.

  WatchShared& shared() { return shared_; }
  size_t number() const { return number_; }
  grpc::ServerCompletionQueue* queue() { return queue_.get(); }
  bool is_draining();
  // Whether an operation may still be begun on the queue.
  bool may_start() const { return !closed_; }
  // A call came for `stream`: it counts from now on, and another waits for the next call.
  void AcceptAnother(WatchStream& stream);
  // From now on `stream` is told when there is something for `id`.
  void Serve(WatcherId id, WatchStream& stream) { by_watcher_[id] = &stream; }
  // `status` is WATCHER_TOO_SLOW.
  void LogCutOff(const std::string& identity, const std::string& peer, const absl::Status& status);
  // Deletes it.
  void Forget(WatchStream& stream);

 private:
  void Run();
  void Accept();
  void Collect();
  void EndStreamsIfDue(absl::Time now);
  void TellStreamsIfRightsChanged();
  void ArmTick();
  void OnWake(bool ok);
  void OnTick(bool ok);

  WatchShared& shared_;
  const size_t number_;
  const std::unique_ptr<grpc::ServerCompletionQueue> queue_;

  // Of the thread.
  absl::flat_hash_map<WatchStream*, std::unique_ptr<WatchStream>> streams_;
  absl::flat_hash_set<WatchStream*> open_;
  absl::flat_hash_map<WatcherId, WatchStream*> by_watcher_;
  bool ended_ = false;
  bool closed_ = false;
  uint64_t policy_generation_ = 0;
  grpc::Alarm tick_;

  absl::Mutex mutex_;
  grpc::Alarm wake_ ABSL_GUARDED_BY(mutex_);
  bool checks_peers_ ABSL_GUARDED_BY(mutex_) = false;
  bool is_waking_ ABSL_GUARDED_BY(mutex_) = false;
  bool is_stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool is_stopped_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Time end_time_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteFuture();
  size_t open_count_ ABSL_GUARDED_BY(mutex_) = 0;
  std::condition_variable_any fewer_streams_;

  CompletionOf<WatchLoop, &WatchLoop::OnWake> on_wake_{*this};
  CompletionOf<WatchLoop, &WatchLoop::OnTick> on_tick_{*this};
  std::thread thread_;
};

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_WATCH_LOOP_H_
