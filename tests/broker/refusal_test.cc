#include "broker/refusal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pylabhub::broker {
namespace {

TEST(RefusalTest, ARefusalCarriesItsReasonFactsAndDelay) {
  const absl::Status status =
      Refuse(Reason::kChannelHeld, "held", {{"channel", "a"}, {"holder", "alice"}}, absl::Milliseconds(1500));
  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(status.message(), "held");
  const auto details = DetailsOf(status);
  ASSERT_TRUE(details.has_value());
  EXPECT_EQ(details->reason, "CHANNEL_HELD");
  EXPECT_THAT(details->metadata,
              testing::ElementsAre(testing::Pair("channel", "a"), testing::Pair("holder", "alice")));
  EXPECT_EQ(details->retry_delay, absl::Milliseconds(1500));
}

TEST(RefusalTest, BrokenFieldsAreNamedInTheMessageAndInTheDetailsEvenTwice) {
  const absl::Status status = RefuseFields({{"f", "too long"}, {"f", "not text"}});
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("f: too long; f: not text"));
  EXPECT_EQ(DetailsOf(status)->field_violations.size(), 2u);
}

TEST(RefusalTest, NoBrokenFieldIsNoRefusal) { EXPECT_TRUE(RefuseFields({}).ok()); }

TEST(RefusalTest, AnyOtherStatusHasNoDetails) {
  EXPECT_FALSE(DetailsOf(absl::OkStatus()).has_value());
  EXPECT_FALSE(DetailsOf(absl::InternalError("x")).has_value());
}

}  // namespace
}  // namespace pylabhub::broker
