#include "client/error_reason.h"

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"

namespace pylabhub {
namespace {

constexpr absl::string_view kReasonUrl = "pylabhub.reason";
constexpr absl::string_view kMetadataUrl = "pylabhub.metadata.";
constexpr absl::string_view kRetryDelayUrl = "pylabhub.retry_delay_ns";

std::string PayloadOf(const absl::Status& status, absl::string_view url) {
  const absl::optional<absl::Cord> payload = status.GetPayload(url);
  return payload.has_value() ? std::string(*payload) : "";
}

}  // namespace

std::string ReasonOf(const absl::Status& status) { return PayloadOf(status, kReasonUrl); }

std::string ReasonMetadataOf(const absl::Status& status, absl::string_view key) {
  return PayloadOf(status, absl::StrCat(kMetadataUrl, key));
}

std::optional<absl::Duration> RetryDelayOf(const absl::Status& status) {
  int64_t delay_ns = 0;
  if (!absl::SimpleAtoi(PayloadOf(status, kRetryDelayUrl), &delay_ns)) return std::nullopt;
  return absl::Nanoseconds(delay_ns);
}

void SetReason(absl::Status& status, absl::string_view reason) {
  status.SetPayload(kReasonUrl, absl::Cord(reason));
}

void SetReasonMetadata(absl::Status& status, absl::string_view key, absl::string_view value) {
  status.SetPayload(absl::StrCat(kMetadataUrl, key), absl::Cord(value));
}

void SetRetryDelay(absl::Status& status, absl::Duration delay) {
  status.SetPayload(kRetryDelayUrl, absl::Cord(absl::StrCat(absl::ToInt64Nanoseconds(delay))));
}

absl::Status WithMessage(const absl::Status& status, absl::string_view message) {
  absl::Status changed(status.code(), message);
  status.ForEachPayload(
      [&](absl::string_view url, const absl::Cord& payload) { changed.SetPayload(url, payload); });
  return changed;
}

}  // namespace pylabhub
