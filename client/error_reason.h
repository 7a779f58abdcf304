// Why a broker refused a call, for a program: what google.rpc.ErrorInfo said, carried by the absl::Status.
//
//   absl::StatusOr<Channel> channel = messenger->DiscoverProducer("camera.left", absl::Seconds(1));
//   if (ReasonOf(channel.status()) == reason::kChannelNotFound) Say("start the camera first");
//
// The reasons and their metadata are listed in proto/pylabhub/v1/errors.proto. Those that the client itself
// acts on:
//
// Thread safety: free functions with no shared state.
#ifndef PYLABHUB_CLIENT_ERROR_REASON_H_
#define PYLABHUB_CLIENT_ERROR_REASON_H_

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace pylabhub {

namespace reason {
inline constexpr absl::string_view kChannelNotFound = "CHANNEL_NOT_FOUND";
inline constexpr absl::string_view kChannelNotReady = "CHANNEL_NOT_READY";
inline constexpr absl::string_view kChannelHeld = "CHANNEL_HELD";
inline constexpr absl::string_view kLimitExceeded = "LIMIT_EXCEEDED";
inline constexpr absl::string_view kNotDeposited = "NOT_DEPOSITED";
inline constexpr absl::string_view kNotRegistered = "NOT_REGISTERED";
inline constexpr absl::string_view kRevisionCompacted = "REVISION_COMPACTED";
inline constexpr absl::string_view kSchemaMismatch = "SCHEMA_MISMATCH";
inline constexpr absl::string_view kShuttingDown = "SHUTTING_DOWN";
inline constexpr absl::string_view kStaleEpoch = "STALE_EPOCH";
inline constexpr absl::string_view kTicketInvalid = "TICKET_INVALID";
inline constexpr absl::string_view kVersionUnsupported = "VERSION_UNSUPPORTED";
inline constexpr absl::string_view kWatcherTooSlow = "WATCHER_TOO_SLOW";
}  // namespace reason

// The broker's reason, for instance "SCHEMA_MISMATCH". Empty for OK, and for an error that no broker gave (it
// could not be reached, a deadline passed, a file is missing).
std::string ReasonOf(const absl::Status& status);

// What the broker told with its reason under `key`; empty if nothing.
std::string ReasonMetadataOf(const absl::Status& status, absl::string_view key);

// How long the broker asked to wait before the same call is tried again.
std::optional<absl::Duration> RetryDelayOf(const absl::Status& status);

// For a BrokerConnection: attach what the accessors above read. `status` must not be OK.
void SetReason(absl::Status& status, absl::string_view reason);
void SetReasonMetadata(absl::Status& status, absl::string_view key, absl::string_view value);
void SetRetryDelay(absl::Status& status, absl::Duration delay);

// `status` with `message` in place of its own, and all that is attached kept.
absl::Status WithMessage(const absl::Status& status, absl::string_view message);

}  // namespace pylabhub

#endif  // PYLABHUB_CLIENT_ERROR_REASON_H_
