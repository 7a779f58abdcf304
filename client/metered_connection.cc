#include "client/metered_connection.h"

#include <chrono>

#include "client/error_reason.h"

namespace pylabhub {
namespace {

constexpr const char* kNames[] = {"GetBrokerInfo",    "Register",           "Deregister",
                                  "ConsumerRegister", "ConsumerDeregister", "Heartbeat",
                                  "Discover",         "ListChannels",       "GetSchema",
                                  "ListSchemas",      "RegisterSchema",     "CheckSchemaCompatibility"};

}  // namespace

MeteredConnection::Outcome MeteredConnection::OutcomeOf(const absl::Status& status) {
  if (status.ok()) return kOk;
  if (!ReasonOf(status).empty()) return kRefused;
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
      return kUnreachable;
    case absl::StatusCode::kDeadlineExceeded:
      return kTimedOut;
    case absl::StatusCode::kCancelled:
      return kCancelled;
    default:
      return kFailed;
  }
}

template <typename Call>
auto MeteredConnection::Measure(Method method, Call call) {
  const auto start = std::chrono::steady_clock::now();
  auto answer = call();
  const int64_t took_ns = (std::chrono::steady_clock::now() - start) / std::chrono::nanoseconds(1);
  Counters& counters = counters_[method];
  // All relaxed: numbers for people, each for itself.
  counters.outcomes[OutcomeOf(answer.status())].fetch_add(1, std::memory_order_relaxed);
  counters.total_ns.fetch_add(took_ns, std::memory_order_relaxed);
  int64_t longest_ns = counters.longest_ns.load(std::memory_order_relaxed);
  while (took_ns > longest_ns &&
         !counters.longest_ns.compare_exchange_weak(longest_ns, took_ns, std::memory_order_relaxed)) {
  }
  return answer;
}

absl::StatusOr<BrokerInfo> MeteredConnection::GetBrokerInfo(absl::Duration timeout) {
  return Measure(kGetBrokerInfo, [&] { return inner_->GetBrokerInfo(timeout); });
}

absl::StatusOr<Grant> MeteredConnection::Register(const std::string& session_id, const ChannelSpec& channel,
                                                  bool force, absl::Duration timeout) {
  return Measure(kRegister, [&] { return inner_->Register(session_id, channel, force, timeout); });
}

absl::StatusOr<uint64_t> MeteredConnection::Deregister(const std::string& session_id,
                                                       const std::string& channel, uint64_t epoch,
                                                       absl::Duration timeout) {
  return Measure(kDeregister, [&] { return inner_->Deregister(session_id, channel, epoch, timeout); });
}

absl::StatusOr<Grant> MeteredConnection::ConsumerRegister(const std::string& session_id,
                                                          const ConsumerSpec& consumer,
                                                          absl::Duration timeout) {
  return Measure(kConsumerRegister, [&] { return inner_->ConsumerRegister(session_id, consumer, timeout); });
}

absl::StatusOr<uint64_t> MeteredConnection::ConsumerDeregister(const std::string& session_id,
                                                               const ConsumerClaim& consumer,
                                                               absl::Duration timeout) {
  return Measure(kConsumerDeregister,
                 [&] { return inner_->ConsumerDeregister(session_id, consumer, timeout); });
}

absl::StatusOr<HeartbeatReport> MeteredConnection::Heartbeat(const std::string& session_id,
                                                             const Claims& claims, absl::Duration timeout) {
  return Measure(kHeartbeat, [&] { return inner_->Heartbeat(session_id, claims, timeout); });
}

absl::StatusOr<Channel> MeteredConnection::Discover(const std::string& channel, absl::Duration timeout) {
  return Measure(kDiscover, [&] { return inner_->Discover(channel, timeout); });
}

absl::StatusOr<ChannelPage> MeteredConnection::ListChannels(const std::string& name_prefix,
                                                            const std::string& page_token,
                                                            absl::Duration timeout) {
  return Measure(kListChannels, [&] { return inner_->ListChannels(name_prefix, page_token, timeout); });
}

absl::StatusOr<SchemaVersion> MeteredConnection::GetSchema(const std::string& name, uint32_t version,
                                                           absl::Duration timeout) {
  return Measure(kGetSchema, [&] { return inner_->GetSchema(name, version, timeout); });
}

absl::StatusOr<SchemaPage> MeteredConnection::ListSchemas(const std::string& name,
                                                          const std::string& page_token,
                                                          absl::Duration timeout) {
  return Measure(kListSchemas, [&] { return inner_->ListSchemas(name, page_token, timeout); });
}

absl::StatusOr<SchemaVersion> MeteredConnection::RegisterSchema(const std::string& name,
                                                                const std::string& schema_text,
                                                                const EnumNames& enum_names,
                                                                absl::Duration timeout) {
  return Measure(kRegisterSchema,
                 [&] { return inner_->RegisterSchema(name, schema_text, enum_names, timeout); });
}

absl::StatusOr<SchemaComparison> MeteredConnection::CheckSchema(const std::string& name, uint32_t version,
                                                                const std::string& schema_text,
                                                                absl::Duration timeout) {
  return Measure(kCheckSchema, [&] { return inner_->CheckSchema(name, version, schema_text, timeout); });
}

std::map<std::string, CallMetrics> MeteredConnection::Calls() const {
  std::map<std::string, CallMetrics> calls;
  for (size_t method = 0; method < kMethods; ++method) {
    const Counters& from = counters_[method];
    const auto count = [&](Outcome outcome) {
      return from.outcomes[outcome].load(std::memory_order_relaxed);
    };
    calls[kNames[method]] = {
        .ok = count(kOk),
        .refused = count(kRefused),
        .unreachable = count(kUnreachable),
        .timed_out = count(kTimedOut),
        .cancelled = count(kCancelled),
        .failed = count(kFailed),
        .total_time = absl::Nanoseconds(from.total_ns.load(std::memory_order_relaxed)),
        .longest_time = absl::Nanoseconds(from.longest_ns.load(std::memory_order_relaxed))};
  }
  return calls;
}

}  // namespace pylabhub
