// A broker in memory, for an application's tests: no network, no certificate, no gRPC.
//
//   FakeBroker broker;
//   auto messenger = Messenger::Create(broker.NewConnection(), {});
//   broker.Restart();  // the messenger registers everything again by itself
//
// It follows the wire API: pending until the first heartbeat, epochs that only grow, CHANNEL_HELD,
// SCHEMA_MISMATCH, fencing, Watch with snapshots, revisions and resumption. It has no clock: a lease never ends
// by itself, and bookmarks come only once a stream has caught up.
//
// Thread safety: thread-safe.
// Ownership:     the broker must outlive its connections, and those their streams.
#ifndef PYLABHUB_CLIENT_FAKE_BROKER_CONNECTION_H_
#define PYLABHUB_CLIENT_FAKE_BROKER_CONNECTION_H_

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "client/broker_connection.h"

namespace pylabhub {

class FakeBroker {
 public:
  // Called at the start of every call with the method's name ("Register"), with no lock held: it may block,
  // and an error that it returns is the call's. For "Watch" that is a stream's first Next.
  using CallHook = std::function<absl::Status(absl::string_view method)>;

  explicit FakeBroker(LeaseTerms terms = {.lease_ttl = absl::Seconds(1),
                                          .heartbeat_interval = absl::Milliseconds(20)})
      : terms_(terms) {}

  std::unique_ptr<BrokerConnection> NewConnection(std::string identity = "test");

  void SetCallHook(CallHook hook);
  // Forgets every session, channel and consumer, as a broker that keeps nothing on disk does when it is
  // restarted. Streams end, and revisions belong to another history from here on.
  void Restart();
  // As a broker that keeps its state: everything stays, streams end, and what happened before can no longer be
  // watched.
  void RestartWithState();
  // Ends every stream with `status`; each may resume.
  void BreakStreams(const absl::Status& status);
  // Forgets the events until now: who resumes from before is told REVISION_COMPACTED.
  void CompactEvents();
  // As when another session takes the channel over: the holder is told that it is fenced.
  void TakeOver(const std::string& channel);
  // As when its producer's lease ended: the channel can no longer be discovered; who holds it is told that it
  // is unknown.
  void Expire(const std::string& channel);

  // The channel as the broker knows it; its state is kUnknown if it does not.
  Channel Find(const std::string& channel) const;
  uint64_t heartbeat_count() const;
  // Streams that are open now, and what the last one to be opened asked for.
  size_t stream_count() const;
  WatchRequest last_watch() const;
  // Of the last change.
  uint64_t revision() const;

 private:
  friend class FakeConnection;
  friend class FakeWatchStream;
  struct Entry {
    Channel channel;
    std::string session_id;
    // By session and consumer id.
    std::set<std::pair<std::string, std::string>> consumers;
    bool taken_over = false;
  };

  absl::Status Enter(absl::string_view method);
  absl::StatusOr<Grant> Register(const std::string& identity, const std::string& session_id,
                                 const ChannelSpec& spec, bool force);
  absl::StatusOr<uint64_t> Deregister(const std::string& session_id, const std::string& channel,
                                      uint64_t epoch);
  absl::StatusOr<Grant> ConsumerRegister(const std::string& session_id, const ConsumerSpec& spec);
  absl::StatusOr<uint64_t> ConsumerDeregister(const std::string& session_id, const ConsumerClaim& consumer);
  HeartbeatReport Heartbeat(const std::string& session_id, const Claims& claims);
  absl::StatusOr<Channel> Discover(const std::string& channel) const;
  ChannelPage ListChannels(const std::string& name_prefix) const;
  Channel Snapshot(const Entry& entry) const;
  // These expect mutex_ to be held.
  void Change(Entry& entry, WatchEventKind kind);
  void Close(Entry& entry, CloseReason why);
  void Remove(std::map<std::string, Entry>::iterator entry);
  void EndStreams(const absl::Status& status);

  const LeaseTerms terms_;
  mutable std::mutex mutex_;
  // All below are guarded by mutex_.
  CallHook hook_;
  std::map<std::string, Entry> entries_;
  std::set<std::string> sessions_;
  uint64_t last_epoch_ = 0;
  uint64_t heartbeat_count_ = 0;
  std::condition_variable changed_;  // revision_ or ends_
  std::string history_id_ = "fake history 1";
  uint64_t revision_ = 0;
  std::vector<WatchEvent> events_;  // since compacted_revision_
  uint64_t compacted_revision_ = 0;
  // How often streams were ended, and how the last time: a stream that began before has ended so.
  uint64_t ends_ = 0;
  absl::Status end_;
  size_t stream_count_ = 0;
  WatchRequest last_watch_;
};

}  // namespace pylabhub

#endif  // PYLABHUB_CLIENT_FAKE_BROKER_CONNECTION_H_
