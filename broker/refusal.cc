#include "broker/refusal.h"

#include <cstdint>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace pylabhub::broker {
namespace {

// Payloads of the status: one for each fact.
constexpr char kReasonUrl[] = "pylabhub/reason";
constexpr char kRetryUrl[] = "pylabhub/retry_delay_ns";
constexpr char kMetadataPrefix[] = "pylabhub/metadata/";
constexpr char kFieldPrefix[] = "pylabhub/field/";
constexpr char kLogPrefix[] = "pylabhub/log/";

struct Row {
  Reason reason;
  absl::string_view name;
  absl::StatusCode code;
};

constexpr Row kTable[] = {
    {Reason::kInvalidRequest, "INVALID_REQUEST", absl::StatusCode::kInvalidArgument},
    {Reason::kChannelNotFound, "CHANNEL_NOT_FOUND", absl::StatusCode::kNotFound},
    {Reason::kChannelNotReady, "CHANNEL_NOT_READY", absl::StatusCode::kUnavailable},
    {Reason::kChannelHeld, "CHANNEL_HELD", absl::StatusCode::kAlreadyExists},
    {Reason::kSchemaMismatch, "SCHEMA_MISMATCH", absl::StatusCode::kFailedPrecondition},
    {Reason::kNotRegistered, "NOT_REGISTERED", absl::StatusCode::kNotFound},
    {Reason::kStaleEpoch, "STALE_EPOCH", absl::StatusCode::kFailedPrecondition},
    {Reason::kSessionNotYours, "SESSION_NOT_YOURS", absl::StatusCode::kPermissionDenied},
    {Reason::kForceDenied, "FORCE_DENIED", absl::StatusCode::kPermissionDenied},
    {Reason::kNoIdentity, "NO_IDENTITY", absl::StatusCode::kUnauthenticated},
    {Reason::kLimitExceeded, "LIMIT_EXCEEDED", absl::StatusCode::kResourceExhausted},
    {Reason::kRateLimited, "RATE_LIMITED", absl::StatusCode::kResourceExhausted},
    {Reason::kVersionUnsupported, "VERSION_UNSUPPORTED", absl::StatusCode::kFailedPrecondition},
    {Reason::kNotImplemented, "NOT_IMPLEMENTED", absl::StatusCode::kUnimplemented},
    {Reason::kShuttingDown, "SHUTTING_DOWN", absl::StatusCode::kUnavailable},
    {Reason::kPolicyDenied, "POLICY_DENIED", absl::StatusCode::kPermissionDenied},
    {Reason::kRevisionCompacted, "REVISION_COMPACTED", absl::StatusCode::kOutOfRange},
    {Reason::kWatcherTooSlow, "WATCHER_TOO_SLOW", absl::StatusCode::kAborted},
    {Reason::kSchemaNotFound, "SCHEMA_NOT_FOUND", absl::StatusCode::kNotFound},
    {Reason::kSchemaIncompatible, "SCHEMA_INCOMPATIBLE", absl::StatusCode::kFailedPrecondition},
    {Reason::kStoreReadOnly, "STORE_READ_ONLY", absl::StatusCode::kUnavailable},
    {Reason::kCertificateRevoked, "CERTIFICATE_REVOKED", absl::StatusCode::kUnauthenticated},
    {Reason::kTicketInvalid, "TICKET_INVALID", absl::StatusCode::kPermissionDenied},
    {Reason::kNotDeposited, "NOT_DEPOSITED", absl::StatusCode::kUnavailable},
    {Reason::kDepositRefused, "DEPOSIT_REFUSED", absl::StatusCode::kFailedPrecondition},
};

constexpr bool RowsStandAtTheirReason() {
  for (size_t i = 0; i < std::size(kTable); ++i) {
    if (static_cast<size_t>(kTable[i].reason) != i) return false;
  }
  return true;
}
static_assert(RowsStandAtTheirReason());

const Row& RowOf(Reason reason) { return kTable[static_cast<size_t>(reason)]; }

}  // namespace

std::vector<Reason> AllReasons() {
  std::vector<Reason> reasons;
  for (const Row& row : kTable) reasons.push_back(row.reason);
  return reasons;
}

absl::string_view ReasonName(Reason reason) { return RowOf(reason).name; }

absl::StatusCode CodeOf(Reason reason) { return RowOf(reason).code; }

absl::Status Refuse(Reason reason, absl::string_view message, const Metadata& metadata,
                    std::optional<absl::Duration> retry_delay) {
  absl::Status status(CodeOf(reason), message);
  status.SetPayload(kReasonUrl, absl::Cord(ReasonName(reason)));
  for (const auto& [key, value] : metadata) {
    status.SetPayload(absl::StrCat(kMetadataPrefix, key), absl::Cord(value));
  }
  if (retry_delay.has_value()) {
    status.SetPayload(kRetryUrl, absl::Cord(absl::StrCat(absl::ToInt64Nanoseconds(*retry_delay))));
  }
  return status;
}

void AddLogField(absl::Status& refusal, absl::string_view key, absl::string_view value) {
  refusal.SetPayload(absl::StrCat(kLogPrefix, key), absl::Cord(value));
}

absl::Status RefuseFields(const std::vector<FieldViolation>& violations) {
  if (violations.empty()) return absl::OkStatus();
  std::string message = "the request is not valid";
  for (const FieldViolation& violation : violations) {
    absl::StrAppend(&message, "; ", violation.field, ": ", violation.description);
  }
  absl::Status status = Refuse(Reason::kInvalidRequest, message);
  for (size_t i = 0; i < violations.size(); ++i) {
    // Numbered, since one field may break two rules, and since a status does not keep its payloads in order.
    const std::string url =
        absl::StrCat(kFieldPrefix, absl::Dec(i, absl::kZeroPad8), "/", violations[i].field);
    status.SetPayload(url, absl::Cord(violations[i].description));
  }
  return status;
}

std::optional<RefusalDetails> DetailsOf(const absl::Status& status) {
  const auto reason = status.GetPayload(kReasonUrl);
  if (!reason.has_value()) return std::nullopt;
  RefusalDetails details{.reason = std::string(*reason)};
  std::map<std::string, std::string> numbered_fields;
  status.ForEachPayload([&](absl::string_view url, const absl::Cord& payload) {
    const std::string value(payload);
    int64_t delay_ns = 0;
    if (absl::ConsumePrefix(&url, kMetadataPrefix)) {
      details.metadata.emplace(url, value);
    } else if (absl::ConsumePrefix(&url, kLogPrefix)) {
      details.log_fields.emplace(url, value);
    } else if (absl::ConsumePrefix(&url, kFieldPrefix)) {
      numbered_fields.emplace(url, value);
    } else if (url == kRetryUrl && absl::SimpleAtoi(value, &delay_ns)) {
      details.retry_delay = absl::Nanoseconds(delay_ns);
    }
  });
  for (const auto& [number_and_field, description] : numbered_fields) {
    details.field_violations.push_back(
        {number_and_field.substr(number_and_field.find('/') + 1), description});
  }
  return details;
}

}  // namespace pylabhub::broker
