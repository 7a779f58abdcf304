// The fake's Watch follows the wire API, so that what passes with it passes with a broker.
#include "client/fake_broker_connection.h"

#include <gtest/gtest.h>

#include <memory>
#include <thread>

#include "client/error_reason.h"
#include "gmock/gmock.h"

namespace pylabhub {
namespace {

using ::testing::ElementsAre;

class FakeWatchTest : public ::testing::Test {
 protected:
  void Register(const std::string& name, const std::string& session = "session") {
    ASSERT_TRUE(connection_->Register(session, {.name = name}, false, absl::Seconds(1)).ok());
    ASSERT_TRUE(connection_->Heartbeat(session, {.channels = {{.name = name}}}, absl::Seconds(1)).ok());
  }

  static std::vector<WatchEventKind> KindsOf(const absl::StatusOr<WatchBatch>& batch) {
    std::vector<WatchEventKind> kinds;
    EXPECT_TRUE(batch.ok()) << batch.status();
    if (!batch.ok()) return kinds;
    for (const WatchEvent& event : batch->events) kinds.push_back(event.kind);
    return kinds;
  }

  FakeBroker broker_;
  const std::unique_ptr<BrokerConnection> connection_ = broker_.NewConnection();
};

TEST_F(FakeWatchTest, ASnapshotComesFirstThenEachChange) {
  Register("a");
  const auto stream = connection_->Watch({.snapshot = true});
  EXPECT_THAT(KindsOf(stream->Next()),
              ElementsAre(WatchEventKind::kSnapshot, WatchEventKind::kSnapshotComplete));
  ASSERT_TRUE(connection_->Deregister("session", "a", 0, absl::Seconds(1)).ok());
  const auto batch = stream->Next();
  EXPECT_THAT(KindsOf(batch), ElementsAre(WatchEventKind::kChannelClosing, WatchEventKind::kChannelRemoved,
                                          WatchEventKind::kBookmark));
  EXPECT_EQ(batch->events[0].channel.close_reason, CloseReason::kDeregistered);
  EXPECT_EQ(broker_.stream_count(), 1u);
}

TEST_F(FakeWatchTest, PatternsLeaveOthersOut) {
  const auto stream = connection_->Watch({.name_patterns = {"a*"}, .snapshot = true});
  EXPECT_THAT(KindsOf(stream->Next()), ElementsAre(WatchEventKind::kSnapshotComplete));
  Register("b");
  Register("ab");
  const auto batch = stream->Next();
  ASSERT_TRUE(batch.ok());
  EXPECT_EQ(batch->events[0].channel.spec.name, "ab");
}

TEST_F(FakeWatchTest, AStreamResumesAfterARevision) {
  Register("a");
  const uint64_t before = broker_.revision();
  Register("b");
  const auto stream = connection_->Watch({.after_revision = before});
  const auto batch = stream->Next();
  EXPECT_THAT(KindsOf(batch), ElementsAre(WatchEventKind::kChannelPending, WatchEventKind::kChannelReady,
                                          WatchEventKind::kBookmark));
  EXPECT_EQ(batch->events[0].channel.spec.name, "b");
}

TEST_F(FakeWatchTest, WhatWasCompactedOrIsOfAnotherHistoryCannotBeResumed) {
  Register("a");
  const auto first = connection_->Watch({.snapshot = true});
  const std::string history = first->Next()->history_id;
  const uint64_t before = broker_.revision();
  Register("b");
  broker_.CompactEvents();
  EXPECT_EQ(ReasonOf(connection_->Watch({.after_revision = before})->Next().status()),
            reason::kRevisionCompacted);
  broker_.Restart();
  EXPECT_EQ(
      ReasonOf(
          connection_->Watch({.after_revision = broker_.revision(), .history_id = history})->Next().status()),
      reason::kRevisionCompacted);
}

TEST_F(FakeWatchTest, ARestartEndsEveryStreamForGood) {
  const auto stream = connection_->Watch({.snapshot = true});
  ASSERT_TRUE(stream->Next().ok());
  broker_.RestartWithState();
  EXPECT_EQ(ReasonOf(stream->Next().status()), reason::kShuttingDown);
  Register("a");
  EXPECT_EQ(ReasonOf(stream->Next().status()), reason::kShuttingDown);
}

TEST_F(FakeWatchTest, CancelEndsAWaitingNext) {
  const auto stream = connection_->Watch({.snapshot = true});
  ASSERT_TRUE(stream->Next().ok());
  std::thread canceller([&] { stream->Cancel(); });
  EXPECT_EQ(stream->Next().status().code(), absl::StatusCode::kCancelled);
  canceller.join();
  EXPECT_EQ(stream->Next().status().code(), absl::StatusCode::kCancelled);
}

}  // namespace
}  // namespace pylabhub
