// What every call passes on its way in and out: the gate of a broker that shuts down, the caller's identity,
// and for calls that change something a line in the log. The services of one broker share one desk.
//
// Thread safety: thread-safe.
#ifndef PYLABHUB_BROKER_CALL_DESK_H_
#define PYLABHUB_BROKER_CALL_DESK_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "broker/call_gate.h"
#include "broker/log_hook.h"
#include "broker/peer_identity.h"

namespace pylabhub::broker {

class CallDesk {
 public:
  explicit CallDesk(LogHook log) : log_(std::move(log)) {}

  // Answers a read: `body` is run for a caller with an identity, and its status put on the wire.
  grpc::Status Answer(grpc::ServerContext& context,
                      absl::FunctionRef<absl::Status(const PeerIdentity&)> body);

  // The same for a call that changes something: who, what (`method`, and `subject`: what it is about, for instance
  // {"channel", NAME}) and with what result goes to the log.
  grpc::Status AnswerAndAudit(grpc::ServerContext& context, absl::string_view method,
                              const std::vector<std::pair<std::string, std::string>>& subject,
                              absl::FunctionRef<absl::Status(const PeerIdentity&)> body);

  // Refuses new calls with SHUTTING_DOWN, and waits for those in progress, at most for `grace`.
  void Close(absl::Duration grace) { gate_.Close(grace); }

 private:
  const LogHook log_;
  PeerIdentifier identifier_;
  CallGate gate_;
};

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_CALL_DESK_H_
