#include "client/error_reason.h"

#include "gtest/gtest.h"

namespace pylabhub {
namespace {

TEST(ErrorReasonTest, ReasonMetadataAndDelayAreReadBack) {
  absl::Status status = absl::NotFoundError("no channel 'a'");
  SetReason(status, reason::kChannelNotFound);
  SetReasonMetadata(status, "channel", "a");
  SetRetryDelay(status, absl::Milliseconds(1500));
  EXPECT_EQ(ReasonOf(status), "CHANNEL_NOT_FOUND");
  EXPECT_EQ(ReasonMetadataOf(status, "channel"), "a");
  EXPECT_EQ(ReasonMetadataOf(status, "epoch"), "");
  EXPECT_EQ(RetryDelayOf(status), absl::Milliseconds(1500));
}

TEST(ErrorReasonTest, ErrorThatNoBrokerGaveHasNoReason) {
  EXPECT_EQ(ReasonOf(absl::OkStatus()), "");
  EXPECT_EQ(ReasonOf(absl::UnavailableError("away")), "");
  EXPECT_EQ(RetryDelayOf(absl::UnavailableError("away")), std::nullopt);
}

TEST(ErrorReasonTest, OtherMessageKeepsCodeAndReason) {
  absl::Status status = absl::NotFoundError("before");
  SetReason(status, reason::kChannelNotFound);
  const absl::Status changed = WithMessage(status, "after");
  EXPECT_EQ(changed.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(changed.message(), "after");
  EXPECT_EQ(ReasonOf(changed), "CHANNEL_NOT_FOUND");
}

}  // namespace
}  // namespace pylabhub
