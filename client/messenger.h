// A process's link to one broker: registers its channels and consumers, keeps their leases, and finds other
// channels.
//
//   auto messenger = Messenger::Connect({.address = "localhost:5570", .certificates_folder = "certs"});
//   if (!messenger.ok()) return Fail(messenger.status());
//   auto registered = (*messenger)->RegisterProducer({.name = "camera.left", .segment_id = id}).get();
//   auto channel = (*messenger)->DiscoverProducer("camera.right", absl::Seconds(5));
//
// client/channel.h does this and the shared memory in one call.
//
// A Messenger is one session: the broker keeps what it registered for as long as it sends heartbeats, which
// it does by itself until it is destroyed. It registers everything again when the broker was restarted, and
// connects again when the connection broke. Data never passes through it: what is attached goes on with or
// without a broker.
//
// Thread safety: thread-safe. No singleton: one process may have several, to one broker or to several.
// Threads:       four of its own: heartbeats; registrations, one after the other; on_event; and the Watch stream, once
//                there is something to watch. A slow broker call or a slow callback holds up no heartbeat, and a
//                callback may wait for the outcome of a registration.
// Ownership:     the destructor gives up everything that is registered, waits for that at most
//                close_timeout, and delivers the events that are due. No call may be running then. It must
//                not run in a callback: the process is ended with a message that says so.
// Errors:        each names what is wrong and the mend; ReasonOf (client/error_reason.h) says why a broker
//                refused. kUnavailable: the broker cannot be reached; kDeadlineExceeded: it did not answer
//                in time.
#ifndef PYLABHUB_CLIENT_MESSENGER_H_
#define PYLABHUB_CLIENT_MESSENGER_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/broker_connection.h"
#include "client/broker_types.h"
#include "client/channel_watcher.h"
#include "client/connect_options.h"
#include "client/event_listeners.h"
#include "client/handed_memory.h"
#include "client/lease_keeper.h"
#include "client/messenger_event.h"
#include "client/messenger_metrics.h"
#include "client/metered_connection.h"
#include "client/serial_queue.h"
#include "client/warm_directory.h"

namespace pylabhub {

// How fresh an answer must be.
enum class Consistency {
  // As the Watch stream told it last, which is milliseconds ago as a rule. What this Messenger itself has changed is
  // included.
  kLocal,
  // As the broker says when it is asked now.
  kStrong,
};

// What becomes of a registration when another session's lease holds the channel, with this schema or another.
enum class OnHeld {
  kFail,  // CHANNEL_HELD or SCHEMA_MISMATCH
  // Take it, if the broker allows that to this client's identity. For a producer that knows that its predecessor is gone,
  // as one that has created the channel's segment does.
  kTakeOver,
};

class Messenger {
 public:
  // Connects over mutual TLS and agrees on a protocol version. Never waits for a broker to appear: one that
  // is not there is told at once.
  //
  // Errors:
  //   kInvalidArgument     the address is none, or a certificate file is not what it should be
  //   kNotFound            a certificate file is not there
  //   kPermissionDenied    a certificate file cannot be read
  //   kFailedPrecondition  others can read the key; or VERSION_UNSUPPORTED
  //   kUnavailable         nobody listens there, the name is unknown, or the TLS handshake failed; it says
  //   which kDeadlineExceeded    no answer within connect_timeout kUnimplemented       something listens
  //   there that is no pylabhub broker
  static absl::StatusOr<std::unique_ptr<Messenger>> Connect(const ConnectOptions& options);

  // The same over a connection that exists already, such as a fake one.
  static absl::StatusOr<std::unique_ptr<Messenger>> Create(std::unique_ptr<BrokerConnection> connection,
                                                           MessengerOptions options,
                                                           absl::Duration timeout = absl::Seconds(5));

  // With no broker: finds the named channels of this host, in `directory`, by their names. The same calls; registrations
  // succeed, and their Grants say that nothing is registered. Who waits for a channel looks again after 5 ms at first, then
  // ever more slowly, every 250 ms at last. Nobody is told of closings but by the shared memory itself.
  static absl::StatusOr<std::unique_ptr<Messenger>> Local(MessengerOptions options = {},
                                                          std::string directory = "/dev/shm");

  Messenger(const Messenger&) = delete;
  Messenger& operator=(const Messenger&) = delete;
  ~Messenger();

  // Registers a channel and keeps its lease. The outcome comes after the first heartbeat, so that the channel
  // is ready then, and can be discovered; only if the broker went away in between it is not yet. Registering
  // again what is registered changes nothing; with another segment_id it is the segment's successor, under a
  // new epoch.
  //
  // With `memory`, for a channel whose memory is handed over: it begins when the channel is this producer's, with what the last
  // one left; and is deposited before the channel is ready, and whenever the
  // broker asks for it (after a restart; when a consumer has left). It may be asked until DeregisterProducer's outcome.
  std::future<absl::StatusOr<Grant>> RegisterProducer(ChannelSpec channel, OnHeld on_held = OnHeld::kFail,
                                                      std::shared_ptr<MemorySource> memory = nullptr);

  // A registered channel goes on in another segment: it is registered again with that, and its memory deposited, as soon as may
  // be. Does not wait.
  void Supersede(ChannelSpec channel);

  // Whether the broker hands memory over, and whether this process may use that.
  bool HandsOver() const { return !broker_info_.hand_over_socket_path.empty(); }

  // Fetches the memory of a channel that RegisterConsumer granted with Grant::hand_over. Good once: to fetch it again, register
  // again. On the caller's thread.
  //
  // Errors: NOT_DEPOSITED (its producer has not brought it yet), LIMIT_EXCEEDED (no place is free), TICKET_INVALID; and
  //         kNotFound or kPermissionDenied without a reason: the broker's socket cannot be reached from here.
  absl::StatusOr<CollectedMemory> Collect(const HandOver& hand_over, const CollectWish& wish,
                                          absl::Duration timeout) {
    return connection_->Collect(hand_over, wish, timeout);
  }

  // Before this process makes or gets memory that others must not: see MessengerOptions::keep_dumpable.
  void ProtectProcess() const;

  // Registers a consumer of a channel that is ready, and keeps its lease.
  std::future<absl::StatusOr<Grant>> RegisterConsumer(ConsumerSpec consumer);

  // Give up what was registered. NOT_REGISTERED if nothing was; nothing is kept after any outcome.
  std::future<absl::Status> DeregisterProducer(std::string channel);
  std::future<absl::Status> DeregisterConsumer(ConsumerClaim consumer);

  // Where the channel is. Waits at most `timeout` until it is there and ready. Zero asks once.
  //
  // From memory, in about half a microsecond, where the directory is fresh and has the channel; else the broker is asked,
  // and from then on the channel is followed, if MessengerOptions::watch says so. Who waits is told by the Watch stream when
  // the channel comes; without one the broker is asked again after 5 ms at first, then ever more slowly, every 250 ms at
  // last. A broker that cannot be reached: what it said last of the channel, if it was ready then.
  //
  // After `timeout` the broker's last refusal is the error: CHANNEL_NOT_FOUND or CHANNEL_NOT_READY. Any other refusal comes
  // at once.
  absl::StatusOr<Channel> DiscoverProducer(const std::string& channel, absl::Duration timeout,
                                           Consistency consistency = Consistency::kLocal);

  // The channels that are followed, as they are known now. Asks nobody; says whether it is fresh, and as of which revision.
  const WarmDirectory& directory() const { return watcher_.directory(); }

  // Follows the channels whose names match, from now on; `*` stands for any run of characters, `?` for one.
  // kInvalidArgument: no name can match.
  absl::Status Follow(const std::string& name_pattern);

  // Waits at most `timeout` until directory() is fresh; whether it is. Never, where nothing is followed.
  bool AwaitDirectory(absl::Duration timeout) { return watcher_.AwaitFresh(timeout); }

  // Every channel whose name begins with `name_prefix`, in the order of names; read in pages, within
  // `timeout` in all.
  absl::StatusOr<std::vector<Channel>> ListChannels(const std::string& name_prefix, absl::Duration timeout);

  // The broker's schema registry, asked each time. Version 0 stands for the latest; an empty name lists the latest version
  // of every name, without texts. Errors: SCHEMA_NOT_FOUND, and what any call may answer.
  absl::StatusOr<SchemaVersion> GetSchema(const std::string& name, uint32_t version, absl::Duration timeout) {
    return connection_->GetSchema(name, version, timeout);
  }
  absl::StatusOr<std::vector<SchemaVersion>> ListSchemas(const std::string& name, absl::Duration timeout);
  // Adds a version under `name`, or finds the one that is equal but for descriptions; `enum_names` are names of values, which
  // no channel's segment has. kInvalidArgument if they name values of a field that the schema does not have.
  absl::StatusOr<SchemaVersion> RegisterSchema(const std::string& name, const std::string& schema_text,
                                               const EnumNames& enum_names, absl::Duration timeout) {
    return connection_->RegisterSchema(name, schema_text, enum_names, timeout);
  }
  absl::StatusOr<SchemaComparison> CheckSchema(const std::string& name, uint32_t version,
                                               const std::string& schema_text, absl::Duration timeout) {
    return connection_->CheckSchema(name, version, schema_text, timeout);
  }

  // What the broker said of itself when the connection was made, and whom it takes this client for.
  const BrokerInfo& broker_info() const { return broker_info_; }
  const std::string& session_id() const { return session_id_; }

  // What was done so far. Costs about a microsecond; may be called from any thread at any time.
  MessengerMetrics metrics() const;

  // Tells `hook` every event that on_event is told, after it, on the same thread. What `hook` uses must live until
  // StopListening, and for the event that is being told then.
  EventListeners::Id Listen(MessengerEventHook hook) { return listeners_.Add(std::move(hook)); }
  void StopListening(EventListeners::Id id) { listeners_.Remove(id); }

  // How the last heartbeat ended; OK while nothing is registered.
  absl::Status LastHeartbeat() const { return keeper_.LastHeartbeat(); }

 private:
  Messenger(std::unique_ptr<MeteredConnection> connection, BrokerInfo broker_info, MessengerOptions options);

  template <typename Outcome>
  std::future<Outcome> InTurn(std::function<Outcome()> call);
  template <typename Spec>
  absl::StatusOr<Grant> Keep(const Spec& spec, absl::StatusOr<Grant> grant);
  absl::Status Changed(const std::string& channel, const absl::StatusOr<uint64_t>& revision);
  absl::StatusOr<Channel> AskFor(const std::string& channel, absl::Duration timeout, Consistency consistency);
  void GiveUp(const Claims& claims, absl::Time deadline);
  void Deliver(LeaseTable::Events events);
  void ForgetMemory(const std::string& channel);
  std::shared_ptr<MemorySource> MemoryOf(const std::string& channel);
  absl::Status BringMemory(const ChannelSpec& channel, HandOver hand_over,
                           const std::shared_ptr<MemorySource>& memory);
  absl::Status DepositAll(const ChannelSpec& channel, const HandOver& hand_over);
  void DoTasks(const std::vector<HandOverTask>& tasks);

  const std::unique_ptr<MeteredConnection> connection_;
  const BrokerInfo broker_info_;
  const MessengerOptions options_;
  const std::string session_id_;
  std::atomic<bool> closing_ = false;
  std::atomic<uint64_t> directory_hits_ = 0;
  std::atomic<uint64_t> directory_misses_ = 0;
  std::array<std::atomic<uint64_t>, kMessengerEventKinds> event_counts_ = {};
  std::mutex memory_mutex_;
  std::map<std::string, std::shared_ptr<MemorySource>> memory_;  // guarded by memory_mutex_
  EventListeners listeners_;
  SerialQueue events_;
  SerialQueue calls_;
  LeaseKeeper keeper_;
  ChannelWatcher watcher_;  // last: it tells the keeper
};

}  // namespace pylabhub

#endif  // PYLABHUB_CLIENT_MESSENGER_H_
