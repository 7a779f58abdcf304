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

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/broker_types.h"

namespace pylabhub {

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
  // `epoch` 0: whichever the session holds.
  virtual absl::Status Deregister(const std::string& session_id, const std::string& channel, uint64_t epoch,
                                  absl::Duration timeout) = 0;

  virtual absl::StatusOr<Grant> ConsumerRegister(const std::string& session_id, const ConsumerSpec& consumer,
                                                 absl::Duration timeout) = 0;
  virtual absl::Status ConsumerDeregister(const std::string& session_id, const ConsumerClaim& consumer,
                                          absl::Duration timeout) = 0;

  // Never tried twice: whoever keeps leases decides when to try again.
  virtual absl::StatusOr<HeartbeatReport> Heartbeat(const std::string& session_id, const Claims& claims,
                                                    absl::Duration timeout) = 0;

  // A channel that is ready.
  virtual absl::StatusOr<Channel> Discover(const std::string& channel, absl::Duration timeout) = 0;

  // Up to 1000 channels whose names begin with `name_prefix`; an empty `page_token` asks for the first page.
  virtual absl::StatusOr<ChannelPage> ListChannels(const std::string& name_prefix,
                                                   const std::string& page_token, absl::Duration timeout) = 0;

  // Ends the calls that are being made now with kCancelled. Later calls are not affected.
  virtual void CancelCalls() = 0;
};

}  // namespace pylabhub

#endif  // PYLABHUB_CLIENT_BROKER_CONNECTION_H_
