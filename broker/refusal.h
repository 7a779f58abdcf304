// How the broker says no: an absl::Status that also carries a reason for programs, facts, and when to try
// again.
//
// The reasons, their gRPC codes and their metadata are those of proto/pylabhub/v1/errors.proto, where a
// caller reads them. refusal.cc holds the one table that gives each reason its code; grpc_status.h puts a
// refusal on the wire.
//
// Thread safety: free functions with no shared state.
#ifndef PYLABHUB_BROKER_REFUSAL_H_
#define PYLABHUB_BROKER_REFUSAL_H_

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace pylabhub::broker {

// The reasons that this broker gives today; a subset of pylabhub.v1.ErrorReason.
enum class Reason {
  kInvalidRequest,
  kChannelNotFound,
  kChannelNotReady,
  kChannelHeld,
  kSchemaMismatch,
  kNotRegistered,
  kStaleEpoch,
  kSessionNotYours,
  kForceDenied,
  kNoIdentity,
  kLimitExceeded,
  kRateLimited,
  kVersionUnsupported,
  kNotImplemented,
  kShuttingDown,
  kPolicyDenied,
  kRevisionCompacted,
  kWatcherTooSlow,
  kSchemaNotFound,
  kSchemaIncompatible,
  kStoreReadOnly,
  kCertificateRevoked,
  kTicketInvalid,
  kNotDeposited,
  kDepositRefused,
};

// Every reason there is.
std::vector<Reason> AllReasons();

// "SCHEMA_MISMATCH": as in google.rpc.ErrorInfo.reason.
absl::string_view ReasonName(Reason reason);

// The gRPC code that always comes with `reason`.
absl::StatusCode CodeOf(Reason reason);

using Metadata = std::vector<std::pair<std::string, std::string>>;

// A field of the request and the rule that it breaks.
struct FieldViolation {
  std::string field;
  std::string description;
};

// `message` is for people: what is wrong, and what to do.
absl::Status Refuse(Reason reason, absl::string_view message, const Metadata& metadata = {},
                    std::optional<absl::Duration> retry_delay = std::nullopt);

// Adds a fact to a refusal that is for the broker's own log, and never told to the caller.
void AddLogField(absl::Status& refusal, absl::string_view key, absl::string_view value);

// INVALID_REQUEST that names each of `violations`; OK if there are none.
absl::Status RefuseFields(const std::vector<FieldViolation>& violations);

// What a refusal carries beside its code and message.
struct RefusalDetails {
  std::string reason = {};
  std::map<std::string, std::string> metadata = {};
  std::optional<absl::Duration> retry_delay = {};
  std::vector<FieldViolation> field_violations = {};
  // Not for the caller.
  std::map<std::string, std::string> log_fields = {};
};

// Of a status that Refuse or RefuseFields made; nothing for any other.
std::optional<RefusalDetails> DetailsOf(const absl::Status& status);

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_REFUSAL_H_
