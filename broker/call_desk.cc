#include "broker/call_desk.h"

#include <algorithm>

#include "broker/grpc_status.h"
#include "broker/refusal.h"

namespace pylabhub::broker {
namespace {

std::string RequestIdOf(const grpc::ServerContext& context) {
  const auto found = context.client_metadata().find("pylabhub-request-id");
  if (found == context.client_metadata().end()) return "";
  return std::string(found->second.data(), std::min<size_t>(found->second.size(), 64));
}

std::string ResultOf(const absl::Status& status) {
  if (status.ok()) return "OK";
  const auto details = DetailsOf(status);
  return details.has_value() ? details->reason : "ERROR";
}

}  // namespace

grpc::Status CallDesk::Answer(grpc::ServerContext& context,
                              absl::FunctionRef<absl::Status(const PeerIdentity&)> body) {
  const CallGate::Pass pass(gate_);
  if (!pass.admitted()) {
    return ToGrpcStatus(Refuse(Reason::kShuttingDown, "the broker is shutting down; connect again later"));
  }
  const auto identity = identifier_.Identify(*context.auth_context());
  return ToGrpcStatus(identity.ok() ? body(**identity) : identity.status());
}

grpc::Status CallDesk::AnswerAndAudit(grpc::ServerContext& context, absl::string_view method,
                                      const std::vector<std::pair<std::string, std::string>>& subject,
                                      absl::FunctionRef<absl::Status(const PeerIdentity&)> body) {
  return Answer(context, [&](const PeerIdentity& peer) {
    absl::Status status = body(peer);
    if (!log_) return status;
    LogRecord record = {.level = status.ok() ? LogLevel::kInfo : LogLevel::kWarning, .event = "call"};
    record.fields = {{"method", std::string(method)}, {"identity", peer.name}};
    record.fields.insert(record.fields.end(), subject.begin(), subject.end());
    record.fields.emplace_back("peer", context.peer());
    record.fields.emplace_back("result", ResultOf(status));
    if (!status.ok()) record.fields.emplace_back("message", status.message());
    if (std::string id = RequestIdOf(context); !id.empty())
      record.fields.emplace_back("request_id", std::move(id));
    log_(record);
    return status;
  });
}

}  // namespace pylabhub::broker
