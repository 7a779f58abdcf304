#include "broker/call_desk.h"

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "broker/directory.h"
#include "broker/grpc_status.h"
#include "broker/refusal.h"

namespace pylabhub::broker {
namespace {

// So that clients which were all refused at once do not all come back in the next instant.
constexpr absl::Duration kMinRetryDelay = absl::Milliseconds(10);

absl::string_view SentRequestId(const grpc::ServerContextBase& context) {
  const auto found = context.client_metadata().find(kRequestIdKey);
  if (found == context.client_metadata().end()) return "";
  return {found->second.data(), found->second.size()};
}

RateLimiter LimiterOf(const Limits& limits) {
  return {static_cast<double>(limits.max_calls_per_second_per_identity),
          static_cast<double>(limits.max_call_burst_per_identity)};
}

std::string ResultOf(const absl::Status& status) {
  const auto details = DetailsOf(status);
  return details.has_value() ? details->reason : absl::StatusCodeToString(status.code());
}

// What a refusal carries for the log alone.
void AddLogFields(const absl::Status& status, LogRecord& record) {
  const auto details = DetailsOf(status);
  if (!details.has_value()) return;
  for (const auto& [key, value] : details->log_fields) record.fields.emplace_back(key, value);
}

bool IsDenial(const absl::Status& status) {
  return absl::IsPermissionDenied(status) && ResultOf(status) == ReasonName(Reason::kPolicyDenied);
}

}  // namespace

CallDesk::CallDesk(Metrics& metrics, const Limits& limits, const CertificateStanding& standing, LogHook log)
    : standing_(standing),
      log_(std::move(log)),
      call_metrics_(metrics),
      rate_limited_(metrics.AddCounter("pylabhub_broker_rate_limited_calls_total",
                                       "Calls refused because their identity calls too often.")),
      calls_(LimiterOf(limits)),
      heartbeats_(LimiterOf(limits)) {}

grpc::Status CallDesk::Answer(grpc::ServerContext& context, absl::string_view method,
                              absl::FunctionRef<absl::Status(const PeerIdentity&)> body) {
  return AnswerAdmitted(context, method, /*audit=*/false, [&](const Admission& caller) {
    absl::Status status = body(*caller.peer);
    if (IsDenial(status)) LogDenial(context, method, caller.peer->name, status);
    return status;
  });
}

grpc::Status CallDesk::AnswerAndAudit(grpc::ServerContext& context, absl::string_view method,
                                      const std::vector<std::pair<std::string, std::string>>& subject,
                                      absl::FunctionRef<absl::Status(const PeerIdentity&)> body) {
  return AnswerAdmitted(context, method, /*audit=*/true, [&](const Admission& caller) {
    absl::Status status = body(*caller.peer);
    if (!log_) return status;
    LogRecord record = {.level = status.ok() ? LogLevel::kInfo : LogLevel::kWarning, .event = "call"};
    record.fields = {{"method", std::string(method)}, {"identity", caller.peer->name}};
    record.fields.insert(record.fields.end(), subject.begin(), subject.end());
    record.fields.emplace_back("peer", context.peer());
    record.fields.emplace_back("request_id", caller.request_id);
    record.fields.emplace_back("result", ResultOf(status));
    AddLogFields(status, record);
    if (!status.ok()) record.fields.emplace_back("message", status.message());
    log_(record);
    return status;
  });
}

void CallDesk::LogDenial(grpc::ServerContextBase& context, absl::string_view method,
                         const std::string& identity, const absl::Status& denial) {
  if (!log_) return;
  std::optional<uint64_t> left_out;
  {
    absl::MutexLock lock(&denial_mutex_);
    left_out = denials_.Take(identity, SteadyNow());
  }
  if (!left_out.has_value()) return;
  LogRecord record = {.level = LogLevel::kWarning, .event = "denied"};
  record.fields = {{"method", std::string(method)}, {"identity", identity}};
  if (const auto details = DetailsOf(denial); details.has_value()) {
    const auto channel = details->metadata.find("channel");
    if (channel != details->metadata.end()) record.fields.emplace_back("channel", channel->second);
  }
  AddLogFields(denial, record);
  record.fields.emplace_back("peer", context.peer());
  if (*left_out > 0) record.fields.emplace_back("left_out", absl::StrCat(*left_out));
  log_(record);
}

grpc::Status CallDesk::AnswerAdmitted(grpc::ServerContext& context, absl::string_view method, bool audit,
                                      absl::FunctionRef<absl::Status(const Admission&)> body) {
  const absl::Time start_time = SteadyNow();
  const CallGate::Pass pass(gate_);
  absl::Status status;
  if (pass.admitted()) {
    const std::string request_id = audit ? GiveRequestId(context) : "";
    const auto peer = Identify(context, method);
    status = peer.ok() ? body({.peer = *peer, .request_id = request_id}) : peer.status();
  } else {
    status = RefuseShuttingDown();
  }
  // Of a read that went well nothing is logged that the id would lead to, and it costs as much as the lookup.
  if (!audit && !status.ok()) GiveRequestId(context);
  call_metrics_.Record(method, status.code(), SteadyNow() - start_time);
  return ToGrpcStatus(status);
}

absl::StatusOr<CallDesk::Admission> CallDesk::Admit(grpc::ServerContextBase& context,
                                                    absl::string_view method) {
  Admission admission{.request_id = GiveRequestId(context)};
  auto peer = Identify(context, method);
  if (!peer.ok()) return peer.status();
  admission.peer = *std::move(peer);
  return admission;
}

// The call's request id, which goes back to the caller.
std::string CallDesk::GiveRequestId(grpc::ServerContextBase& context) {
  const absl::string_view sent_id = SentRequestId(context);
  std::string id = IsRequestId(sent_id) ? std::string(sent_id) : request_ids_.Next();
  context.AddTrailingMetadata(kRequestIdKey, id);
  return id;
}

absl::StatusOr<std::shared_ptr<const PeerIdentity>> CallDesk::Identify(const grpc::ServerContextBase& context,
                                                                       absl::string_view method) {
  auto identity = identifier_.Identify(*context.auth_context());
  if (!identity.ok()) return identity;
  if (absl::Status status = CheckStanding(**identity); !status.ok()) return status;
  if (absl::Status status = CheckRate((*identity)->name, method); !status.ok()) return status;
  return identity;
}

absl::Status CallDesk::CheckStanding(const PeerIdentity& peer) const {
  return standing_.Check(peer.name, peer.certificate_serial, peer.certificate_expire_time, absl::Now());
}

absl::Status CallDesk::CheckStanding(absl::string_view certificate_pem) {
  const auto identity = identifier_.Identify(certificate_pem);
  return identity.ok() ? CheckStanding(**identity) : identity.status();
}

absl::Status CallDesk::CheckRate(const std::string& identity, absl::string_view method) {
  absl::Duration delay;
  {
    absl::MutexLock lock(&rate_mutex_);
    delay = (method == "Heartbeat" ? heartbeats_ : calls_).Take(identity, SteadyNow());
  }
  if (delay == absl::ZeroDuration()) return absl::OkStatus();
  rate_limited_.Increment();
  return Refuse(Reason::kRateLimited,
                absl::StrCat("identity ", identity,
                             " calls more often than it may; send fewer calls (names and sessions can be "
                             "sent in batches), or try again later"),
                {{"identity", identity}}, std::max(delay, kMinRetryDelay));
}

absl::Status RefuseShuttingDown() {
  return Refuse(Reason::kShuttingDown, "the broker is shutting down; connect again later");
}

}  // namespace pylabhub::broker
