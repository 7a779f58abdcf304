// One stream of Watch, from the call's arrival to its end.
//
//   waiting for a call --> writing a message <--> idle --> ending --> gone
//                               |    ^                      ^
//                               +----+ more to say          | refused, cut off, shutting down, or the client left
//
// A stream writes one message at a time: first its snapshot, in pieces, then what the feed has for it. While it
// writes, whatever happens waits in the feed. When there is nothing to say it is idle, until the loop calls it.
//
// Thread safety: thread-compatible; it lives on the thread of its WatchLoop, which gRPC's completions come to.
// Ownership:     deletes itself, by WatchLoop::Forget, when gRPC has nothing of it any more.
#ifndef PYLABHUB_BROKER_WATCH_STREAM_H_
#define PYLABHUB_BROKER_WATCH_STREAM_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/async_stream.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "broker/access/access_control.h"
#include "broker/completion.h"
#include "broker/peer_identity.h"
#include "broker/snapshot_reader.h"
#include "broker/watch_feed.h"
#include "broker/watch_wire.h"

namespace pylabhub::broker {

class WatchLoop;

class WatchStream {
 public:
  // Waits for a call.
  explicit WatchStream(WatchLoop& loop);
  ~WatchStream();

  WatchStream(const WatchStream&) = delete;
  WatchStream& operator=(const WatchStream&) = delete;

  // Once it watches.
  const std::optional<WatcherId>& watcher_id() const { return watcher_id_; }

  // There is something to read for it, or it was cut off.
  void OnReady();

  // Ends it if its client may not call any more, with nothing more said.
  void CheckPeer();

  // Says what is waiting, then ends with `status`.
  void EndWith(absl::Status status);

  // There is another policy. If the caller may not be told of the same channels as before, the stream ends at once: with
  // REVISION_COMPACTED, so that the client watches again with a snapshot of what it may see, or with POLICY_DENIED.
  void OnRightsChanged();

  // Notices the time: a client that does not take what is said, although the stream is to end, is left.
  void OnTick(absl::Time now);

 private:
  void OnCall(bool ok);
  void OnWritten(bool ok);
  void OnFinished(bool ok);
  void OnDone(bool ok);

  absl::Status Begin();
  // Errors:
  //   POLICY_DENIED  nothing that the filter names may be told
  absl::Status CheckMayWatch(const CallerRights& rights) const;
  // With what is waiting left unsaid.
  void EndAtOnceWith(absl::Status status);
  void SayNext();
  // The next message; nothing if there is none now. Errors: the stream is to end so.
  absl::StatusOr<std::optional<grpc::ByteBuffer>> NextMessage();
  grpc::ByteBuffer NextOfSnapshot();
  grpc::ByteBuffer Join(std::vector<grpc::Slice> events) const;
  void LogCutOff(const absl::Status& status);
  void Finish(const absl::Status& status);
  void ForgetIfOver();

  WatchLoop& loop_;
  grpc::ServerContext context_;
  grpc::ByteBuffer request_;
  grpc::ServerAsyncWriter<grpc::ByteBuffer> writer_;

  absl::Time start_time_ = absl::InfinitePast();  // of the call; InfinitePast: it has not come
  absl::StatusCode end_code_ = absl::StatusCode::kCancelled;
  std::shared_ptr<const PeerIdentity> peer_;  // once it was admitted
  CallerRights rights_;
  grpc::Slice history_id_;  // the caller's, encoded
  WatchPlan plan_;
  std::optional<WatcherId> watcher_id_;
  // Until nothing of it is left to say, or to be left out of what follows.
  std::optional<SnapshotReader> snapshot_;
  bool snapshot_is_complete_ = false;
  // Read and not yet said, the next one last.
  std::vector<ChannelView> unsaid_;

  bool writing_ = false;
  bool finishing_ = false;  // and not finished
  bool finished_ = false;
  bool cut_off_logged_ = false;
  bool done_ = false;  // gRPC said that the call is over, the client's leaving included
  // What to end with once everything was said.
  std::optional<absl::Status> ends_with_;
  // And nothing more is said.
  bool ends_at_once_ = false;
  // When it ends whatever there is still to say, and whether or not the client takes it.
  absl::Time ends_by_ = absl::InfiniteFuture();

  CompletionOf<WatchStream, &WatchStream::OnCall> on_call_{*this};
  CompletionOf<WatchStream, &WatchStream::OnWritten> on_written_{*this};
  CompletionOf<WatchStream, &WatchStream::OnFinished> on_finished_{*this};
  CompletionOf<WatchStream, &WatchStream::OnDone> on_done_{*this};
};

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_WATCH_STREAM_H_
