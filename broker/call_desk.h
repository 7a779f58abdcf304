// What every call passes on its way in and out, whichever service it belongs to: the gate of a broker that shuts down,
// the caller's identity and rate, a request id, the count of calls, and a line in the log for calls that change something and
// for whatever the policy denies. The services of one broker share one desk. The request id of a change, a stream, or a refused call goes back to the
// client as trailing metadata.
//
// Thread safety: thread-safe.
#ifndef PYLABHUB_BROKER_CALL_DESK_H_
#define PYLABHUB_BROKER_CALL_DESK_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "broker/access/certificate_standing.h"
#include "broker/call_gate.h"
#include "broker/call_metrics.h"
#include "broker/denial_throttle.h"
#include "broker/limits.h"
#include "broker/log_hook.h"
#include "broker/peer_identity.h"
#include "broker/rate_limiter.h"
#include "broker/request_id.h"

namespace pylabhub::broker {

// SHUTTING_DOWN, in the words that every call uses.
absl::Status RefuseShuttingDown();

class CallDesk {
 public:
  // `metrics` and `standing` outlive the desk.
  CallDesk(Metrics& metrics, const Limits& limits, const CertificateStanding& standing, LogHook log);

  // What a call that was let in brought with it.
  struct Admission {
    std::shared_ptr<const PeerIdentity> peer = nullptr;
    std::string request_id = {};
  };

  // Answers a read: `body` is run for a caller that may go on, and its status put on the wire. `method` without its
  // service: "Discover".
  grpc::Status Answer(grpc::ServerContext& context, absl::string_view method,
                      absl::FunctionRef<absl::Status(const PeerIdentity&)> body);

  // The same for a call that changes something: who, what (`method`, and `subject`: what it is about, for instance
  // {"channel", NAME}) and with what result goes to the log.
  grpc::Status AnswerAndAudit(grpc::ServerContext& context, absl::string_view method,
                              const std::vector<std::pair<std::string, std::string>>& subject,
                              absl::FunctionRef<absl::Status(const PeerIdentity&)> body);

  // For a stream, which outlasts its beginning: identity, rate and request id, with nothing counted, nor waited for
  // when the broker ends.
  //
  // Errors:
  //   NO_IDENTITY          the certificate names nobody
  //   CERTIFICATE_REVOKED  it was revoked or has expired
  //   RATE_LIMITED         the identity calls too often
  absl::StatusOr<Admission> Admit(grpc::ServerContextBase& context, absl::string_view method);

  // Whether a caller that was let in may go on: for streams, once in a while.
  //
  // Errors:
  //   CERTIFICATE_REVOKED  its certificate was revoked or has expired since
  absl::Status CheckStanding(const PeerIdentity& peer) const;
  // The same for a certificate in PEM, of a caller of somebody else's service.
  absl::Status CheckStanding(absl::string_view certificate_pem);

  // The callers that the desk remembers.
  std::vector<std::shared_ptr<const PeerIdentity>> SeenPeers() { return identifier_.Seen(); }

  // Logs that the policy denied what `identity` asked for: at most a line a second for each identity, so that one that asks on
  // and on does not fill the log; what was left out in between is counted there. `denial` is POLICY_DENIED.
  void LogDenial(grpc::ServerContextBase& context, absl::string_view method, const std::string& identity,
                 const absl::Status& denial);

  // Counts a call that did not go through Answer: a stream that has ended.
  void Record(absl::string_view method, absl::StatusCode code, absl::Duration duration) {
    call_metrics_.Record(method, code, duration);
  }

  // From now on CheckMayRegister refuses; every other call goes on. For good.
  void StopRegistrations() { registrations_stopped_.store(true, std::memory_order_relaxed); }

  // Errors:
  //   SHUTTING_DOWN  the broker drains
  absl::Status CheckMayRegister() const {
    return registrations_stopped_.load(std::memory_order_relaxed) ? RefuseShuttingDown() : absl::OkStatus();
  }

  // Refuses new calls with SHUTTING_DOWN, and waits for those in progress, at most for `grace`.
  void Close(absl::Duration grace) { gate_.Close(grace); }

 private:
  std::string GiveRequestId(grpc::ServerContextBase& context);
  absl::StatusOr<std::shared_ptr<const PeerIdentity>> Identify(const grpc::ServerContextBase& context,
                                                               absl::string_view method);
  grpc::Status AnswerAdmitted(grpc::ServerContext& context, absl::string_view method, bool audit,
                              absl::FunctionRef<absl::Status(const Admission&)> body);
  absl::Status CheckRate(const std::string& identity, absl::string_view method);

  const CertificateStanding& standing_;
  const LogHook log_;
  CallMetrics call_metrics_;
  prometheus::Counter& rate_limited_;
  PeerIdentifier identifier_;
  RequestIdMaker request_ids_;
  CallGate gate_;
  // Relaxed: it orders nothing but itself, and a registration that races with a drain may still be admitted.
  std::atomic<bool> registrations_stopped_ = false;

  absl::Mutex denial_mutex_;
  DenialThrottle denials_ ABSL_GUARDED_BY(denial_mutex_);

  absl::Mutex rate_mutex_;
  RateLimiter calls_ ABSL_GUARDED_BY(rate_mutex_);
  // Apart, so that a process that floods the broker does not cost its siblings of the same identity their leases.
  RateLimiter heartbeats_ ABSL_GUARDED_BY(rate_mutex_);
};

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_CALL_DESK_H_
