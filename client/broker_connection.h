// One broker, as a Messenger sees it: each call of the wire API that a client makes, without the wire.
//
// An application fakes a broker by implementing this, or uses FakeBroker (client/fake_broker_connection.h).
//
// Thread safety: thread-safe; calls run side by side and none waits for another.
// Time:          every call ends after `timeout` at the latest.
// Errors:        a refusal by the broker carries its reason (client/error_reason.h). kUnavailable without
//                a reason: the broker could not be reached. kDeadlineExceeded: no answer in time. Either
//                may have been carried out. kCancelled: CancelCalls was called meanwhile.
#ifndef PYLABHUB_CLIENT_BROKER_CONNECTION_H_
#define PYLABHUB_CLIENT_BROKER_CONNECTION_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/broker_types.h"
#include "client/handed_memory.h"

namespace pylabhub {

// One Watch stream. Next belongs to one thread at a time, Cancel to any. The destructor ends the stream.
class WatchStream {
 public:
  virtual ~WatchStream() = default;

  // Waits for what comes next, for as long as it takes. An error ends the stream: of the broker (its reason says which),
  // kUnavailable without a reason when the connection broke, kCancelled after Cancel.
  virtual absl::StatusOr<WatchBatch> Next() = 0;

  // Ends it: a Next that waits, and every later one, answers kCancelled.
  virtual void Cancel() = 0;
};

class BrokerConnection {
 public:
  virtual ~BrokerConnection() = default;

  // `timeout` covers the making of the connection, and nothing is tried twice: a broker that is not there is
  // told at once.
  virtual absl::StatusOr<BrokerInfo> GetBrokerInfo(absl::Duration timeout) = 0;

  // Registers a channel; it is pending until the session's next Heartbeat. Idempotent by session, name and
  // segment. `force` takes it from another session whose lease has not ended, where the broker allows that.
  virtual absl::StatusOr<Grant> Register(const std::string& session_id, const ChannelSpec& channel,
                                         bool force, absl::Duration timeout) = 0;
  // `epoch` 0: whichever the session holds. Answers the directory's revision after the change.
  virtual absl::StatusOr<uint64_t> Deregister(const std::string& session_id, const std::string& channel,
                                              uint64_t epoch, absl::Duration timeout) = 0;

  virtual absl::StatusOr<Grant> ConsumerRegister(const std::string& session_id, const ConsumerSpec& consumer,
                                                 absl::Duration timeout) = 0;
  // Answers the directory's revision after the change.
  virtual absl::StatusOr<uint64_t> ConsumerDeregister(const std::string& session_id,
                                                      const ConsumerClaim& consumer,
                                                      absl::Duration timeout) = 0;

  // Never tried twice: whoever keeps leases decides when to try again.
  virtual absl::StatusOr<HeartbeatReport> Heartbeat(const std::string& session_id, const Claims& claims,
                                                    absl::Duration timeout) = 0;

  // A channel that is ready.
  virtual absl::StatusOr<Channel> Discover(const std::string& channel, absl::Duration timeout) = 0;

  // Up to 1000 channels whose names begin with `name_prefix`; an empty `page_token` asks for the first page.
  virtual absl::StatusOr<ChannelPage> ListChannels(const std::string& name_prefix,
                                                   const std::string& page_token, absl::Duration timeout) = 0;

  // The schema registry. A connection without one, such as a faked broker's, answers kUnimplemented. `version` 0 stands
  // for the latest; an empty `name` lists the latest version of every name.
  virtual absl::StatusOr<SchemaVersion> GetSchema(const std::string& /*name*/, uint32_t /*version*/,
                                                  absl::Duration /*timeout*/) {
    return NoSchemas();
  }
  virtual absl::StatusOr<SchemaPage> ListSchemas(const std::string& /*name*/,
                                                 const std::string& /*page_token*/,
                                                 absl::Duration /*timeout*/) {
    return NoSchemas();
  }
  // Adds a version, or finds the one that is equal, names of values included: without its text.
  virtual absl::StatusOr<SchemaVersion> RegisterSchema(const std::string& /*name*/,
                                                       const std::string& /*schema_text*/,
                                                       const EnumNames& /*enum_names*/,
                                                       absl::Duration /*timeout*/) {
    return NoSchemas();
  }
  // How `schema_text`, canonical, differs from a registered version.
  virtual absl::StatusOr<SchemaComparison> CheckSchema(const std::string& /*name*/, uint32_t /*version*/,
                                                       const std::string& /*schema_text*/,
                                                       absl::Duration /*timeout*/) {
    return NoSchemas();
  }

  // Deposits memory with the broker, inherits it, or collects it. A connection to none that hands memory over answers kUnimplemented.
  virtual absl::Status Deposit(const HandOver& /*hand_over*/, const pylabhub::Deposit& /*deposit*/,
                               absl::Duration /*timeout*/) {
    return NoHandOver();
  }
  virtual absl::StatusOr<InheritedMemory> Inherit(const HandOver& /*hand_over*/, absl::Duration /*timeout*/) {
    return NoHandOver();
  }
  virtual absl::StatusOr<CollectedMemory> Collect(const HandOver& /*hand_over*/, const CollectWish& /*wish*/,
                                                  absl::Duration /*timeout*/) {
    return NoHandOver();
  }

  // Does not wait: whether the broker is there, and watches, the first Next says. The connection must outlive the stream.
  virtual std::unique_ptr<WatchStream> Watch(const WatchRequest& request) = 0;

  // Ends the calls that are being made now with kCancelled. Streams and later calls are not affected.
  virtual void CancelCalls() = 0;

 private:
  static absl::Status NoHandOver() {
    return absl::UnimplementedError("this connection hands no memory over");
  }
  static absl::Status NoSchemas() {
    return absl::UnimplementedError("this connection has no schema registry");
  }
};

}  // namespace pylabhub

#endif  // PYLABHUB_CLIENT_BROKER_CONNECTION_H_
