#include "client/lease_table.h"

#include <string>
#include <variant>
#include <vector>

#include "client/error_reason.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pylabhub {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr absl::Time kStart = absl::UnixEpoch();

absl::Status Refusal(absl::StatusCode code, absl::string_view reason) {
  absl::Status status(code, reason);
  SetReason(status, reason);
  return status;
}

class LeaseTableTest : public ::testing::Test {
 protected:
  void HoldChannel(const std::string& name, uint64_t epoch = 1) {
    table_.Hold(ChannelSpec{.name = name}, epoch);
  }
  void HoldConsumer(const std::string& channel, const std::string& id = "") {
    table_.Hold(ConsumerSpec{.channel = channel, .consumer_id = id}, 1);
  }
  void Apply(const HeartbeatReport& report, absl::Time now = kStart) {
    table_.Apply(report, table_.Held().generation, now, events_);
  }
  std::vector<MessengerEventKind> EventKinds() {
    std::vector<MessengerEventKind> kinds;
    for (const MessengerEvent& event : events_) kinds.push_back(event.kind);
    return kinds;
  }

  LeaseTable table_{absl::Seconds(1)};
  LeaseTable::Events events_;
};

TEST_F(LeaseTableTest, EverythingHeldIsClaimed) {
  HoldChannel("a", 7);
  HoldConsumer("b", "x");
  HoldConsumer("b", "y");
  const Claims claims = table_.Held().claims;
  ASSERT_THAT(claims.channels, SizeIs(1));
  EXPECT_EQ(claims.channels[0].name, "a");
  EXPECT_EQ(claims.channels[0].epoch, 7u);
  EXPECT_THAT(claims.consumers, ElementsAre(ConsumerClaim{"b", "x"}, ConsumerClaim{"b", "y"}));
  EXPECT_EQ(table_.NextRestoreTime(), absl::InfiniteFuture());
}

TEST_F(LeaseTableTest, UnknownSessionMakesEverythingDueForRestoreChannelsFirst) {
  HoldConsumer("a");
  HoldChannel("z");
  Apply({.session_known = false});
  EXPECT_TRUE(table_.Held().claims.empty());
  EXPECT_EQ(table_.NextRestoreTime(), kStart);
  const auto due = table_.DueForRestore(kStart);
  ASSERT_THAT(due, SizeIs(2));
  EXPECT_EQ(std::get<ChannelSpec>(due[0].spec).name, "z");
  EXPECT_EQ(std::get<ConsumerSpec>(due[1].spec).channel, "a");
  EXPECT_THAT(table_.DueForRestore(kStart), IsEmpty());
}

TEST_F(LeaseTableTest, RestoredChannelIsHeldUnderItsNewEpoch) {
  HoldChannel("a", 3);
  Apply({.lost_channels = {{.name = "a", .epoch = 3}}});
  const auto due = table_.DueForRestore(kStart);
  ASSERT_THAT(due, SizeIs(1));
  table_.Restored(due[0], 9, events_);
  EXPECT_EQ(table_.Held().claims.channels[0].epoch, 9u);
  EXPECT_THAT(EventKinds(), ElementsAre(MessengerEventKind::kRegistrationRestored));
}

TEST_F(LeaseTableTest, OnlyWhatIsNamedIsLost) {
  HoldChannel("a");
  HoldChannel("b");
  HoldConsumer("c");
  Apply({.lost_channels = {{.name = "a", .epoch = 1}}});
  EXPECT_THAT(table_.Held().claims.channels, SizeIs(1));
  EXPECT_EQ(table_.Held().claims.channels[0].name, "b");
  EXPECT_THAT(table_.Held().claims.consumers, SizeIs(1));
}

TEST_F(LeaseTableTest, AnswerToAnOlderClaimDoesNotTouchANewerRegistration) {
  HoldChannel("a", 1);
  HoldConsumer("b");
  const uint64_t generation = table_.Held().generation;
  HoldChannel("a", 2);
  HoldConsumer("b");
  table_.Apply({.lost_channels = {{.name = "a", .epoch = 1}}, .lost_consumers = {{"b", ""}}}, generation,
               kStart, events_);
  table_.Apply({.session_known = false}, generation, kStart, events_);
  EXPECT_THAT(table_.Held().claims.channels, SizeIs(1));
  EXPECT_THAT(table_.Held().claims.consumers, SizeIs(1));
}

TEST_F(LeaseTableTest, FencedAndClosedChannelsAreGivenUpAndTold) {
  HoldChannel("a");
  HoldChannel("b");
  Apply({.lost_channels = {{.name = "a", .epoch = 1, .reason = LossReason::kFenced},
                           {.name = "b", .epoch = 1, .reason = LossReason::kClosedByAdmin}}});
  EXPECT_THAT(EventKinds(),
              ElementsAre(MessengerEventKind::kRegistrationLost, MessengerEventKind::kRegistrationLost));
  EXPECT_EQ(events_[0].status.code(), absl::StatusCode::kAborted);
  EXPECT_EQ(table_.NextRestoreTime(), absl::InfiniteFuture());
  EXPECT_FALSE(table_.Keeps("a"));
}

TEST_F(LeaseTableTest, ARevokedChannelIsGivenUpAsDenied) {
  HoldChannel("a");
  Apply({.lost_channels = {{.name = "a", .epoch = 1, .reason = LossReason::kRevoked}}});
  ASSERT_THAT(EventKinds(), ElementsAre(MessengerEventKind::kRegistrationLost));
  EXPECT_EQ(events_[0].status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_FALSE(table_.Keeps("a"));
}

TEST_F(LeaseTableTest, UnreachableBrokerIsTriedAgainEverMoreSlowlyUpToTheLimit) {
  HoldChannel("a");
  Apply({.session_known = false});
  absl::Time now = kStart;
  absl::Duration longest;
  for (int i = 0; i < 20; ++i) {
    const auto due = table_.DueForRestore(now);
    ASSERT_THAT(due, SizeIs(1));
    table_.RestoreFailed(due[0], absl::UnavailableError("away"), now, events_);
    const absl::Duration wait = table_.NextRestoreTime() - now;
    ASSERT_GT(wait, absl::ZeroDuration());
    ASSERT_LE(wait, absl::Seconds(1));
    longest = std::max(longest, wait);
    EXPECT_THAT(table_.DueForRestore(table_.NextRestoreTime() - absl::Nanoseconds(1)), IsEmpty());
    now = table_.NextRestoreTime();
  }
  EXPECT_GE(longest, absl::Milliseconds(500));
  EXPECT_THAT(events_, IsEmpty());
}

TEST_F(LeaseTableTest, ChannelThatSomebodyElseHoldsByNowIsLost) {
  HoldChannel("a");
  Apply({.session_known = false});
  const auto due = table_.DueForRestore(kStart);
  table_.RestoreFailed(due[0], Refusal(absl::StatusCode::kAlreadyExists, reason::kChannelHeld), kStart,
                       events_);
  ASSERT_THAT(EventKinds(), ElementsAre(MessengerEventKind::kRegistrationLost));
  EXPECT_EQ(ReasonOf(events_[0].status), reason::kChannelHeld);
  EXPECT_FALSE(table_.Keeps("a"));
}

TEST_F(LeaseTableTest, ConsumerWaitsForItsChannelToComeBack) {
  HoldConsumer("a");
  Apply({.lost_consumers = {{"a", ""}}});
  const absl::Status gone = Refusal(absl::StatusCode::kNotFound, reason::kChannelNotFound);
  absl::Time now = kStart;
  for (int i = 0; i < 3; ++i) {
    const auto due = table_.DueForRestore(now);
    ASSERT_THAT(due, SizeIs(1));
    table_.RestoreFailed(due[0], gone, now, events_);
    now = table_.NextRestoreTime();
  }
  EXPECT_THAT(EventKinds(), ElementsAre(MessengerEventKind::kChannelClosing));
  table_.Restored(table_.DueForRestore(now)[0], 5, events_);
  EXPECT_THAT(EventKinds(), ElementsAre(MessengerEventKind::kChannelClosing, MessengerEventKind::kChannelBack,
                                        MessengerEventKind::kRegistrationRestored));
}

TEST_F(LeaseTableTest, DroppedWhileBeingRestoredIsNotHeldAgain) {
  HoldChannel("a");
  Apply({.session_known = false});
  const auto due = table_.DueForRestore(kStart);
  EXPECT_TRUE(table_.IsWanted(due[0]));
  EXPECT_EQ(table_.DropChannel("a"), 0u);
  EXPECT_FALSE(table_.IsWanted(due[0]));
  table_.Restored(due[0], 9, events_);
  table_.RestoreFailed(due[0], absl::UnavailableError("away"), kStart, events_);
  EXPECT_TRUE(table_.Held().claims.empty());
  EXPECT_THAT(events_, IsEmpty());
}

TEST_F(LeaseTableTest, ClosingIsToldOnceAndSoIsTheComingBack) {
  HoldConsumer("a");
  const absl::Status gone = Refusal(absl::StatusCode::kNotFound, reason::kChannelNotFound);
  EXPECT_THAT(table_.ConsumedChannels(), ElementsAre("a"));
  table_.Saw("a", Channel{.epoch = 1}, events_);
  table_.Saw("a", gone, events_);
  table_.Saw("a", gone, events_);
  table_.Saw("a", absl::UnavailableError("away"), events_);
  table_.Saw("a", Channel{.epoch = 2}, events_);
  table_.Saw("a", Channel{.epoch = 2}, events_);
  table_.Saw("a", Channel{.epoch = 3}, events_);
  EXPECT_THAT(EventKinds(), ElementsAre(MessengerEventKind::kChannelClosing, MessengerEventKind::kChannelBack,
                                        MessengerEventKind::kChannelBack));
}

}  // namespace
}  // namespace pylabhub
