#include "client/cli/watch_teller.h"

#include <gtest/gtest.h>

namespace pylabhub::cli {
namespace {

WatchEvent Event(WatchEventKind kind, uint64_t epoch) {
  WatchEvent event{.kind = kind, .revision = 10 + epoch};
  event.channel.spec.name = "camera";
  event.channel.spec.process = {.pid = 17, .host = "lab7"};
  event.channel.epoch = epoch;
  event.channel.consumer_count = 1;
  event.channel.producer_identity = "lab/ada";
  return event;
}

std::string Told(WatchTeller& teller, const WatchEvent& event) {
  const std::optional<WatchNews> news = teller.Tell(event);
  return news ? news->what : "nothing";
}

TEST(WatchTellerTest, AChannelIsCreatedOnceAndThenReplacedByAnotherEpoch) {
  WatchTeller teller;
  EXPECT_EQ(Told(teller, Event(WatchEventKind::kChannelPending, 1)), "nothing");
  EXPECT_EQ(Told(teller, Event(WatchEventKind::kChannelReady, 1)), "created");
  EXPECT_EQ(Told(teller, Event(WatchEventKind::kChannelReady, 1)), "ready");
  EXPECT_EQ(Told(teller, Event(WatchEventKind::kChannelReady, 2)), "replaced");
  EXPECT_EQ(Told(teller, Event(WatchEventKind::kChannelRemoved, 2)), "closed");
  EXPECT_EQ(Told(teller, Event(WatchEventKind::kChannelReady, 3)), "created");
}

TEST(WatchTellerTest, WhatWasThereFromTheBeginningIsPresentAndMayBeReplaced) {
  WatchTeller teller;
  EXPECT_EQ(Told(teller, Event(WatchEventKind::kSnapshot, 4)), "present");
  EXPECT_EQ(Told(teller, Event(WatchEventKind::kSnapshotComplete, 0)), "nothing");
  EXPECT_EQ(Told(teller, Event(WatchEventKind::kBookmark, 0)), "nothing");
  EXPECT_EQ(Told(teller, Event(WatchEventKind::kUnknown, 0)), "nothing");
  EXPECT_EQ(Told(teller, Event(WatchEventKind::kChannelReady, 5)), "replaced");
}

TEST(WatchTellerTest, ClosingSaysWhy) {
  WatchTeller teller;
  WatchEvent event = Event(WatchEventKind::kChannelClosing, 1);
  event.channel.close_reason = CloseReason::kLeaseExpired;
  const WatchNews news = *teller.Tell(event);
  EXPECT_EQ(TextOf(news), "camera  closing  lease_expired");
  EXPECT_EQ(ToJson(news)["close_reason"], "lease_expired");
}

TEST(WatchTellerTest, ConsumersAreTheBrokersCountAfterTheEvent) {
  WatchTeller teller;
  const WatchNews news = *teller.Tell(Event(WatchEventKind::kConsumerJoined, 2));
  EXPECT_EQ(TextOf(news), "camera  consumer_joined  epoch 2, by lab/ada (process 17 on lab7), 1 consumer");
  const nlohmann::ordered_json json = ToJson(news);
  EXPECT_EQ(json["event"], "consumer_joined");
  EXPECT_EQ(json["revision"], 12);
  EXPECT_EQ(json["consumers"], 1);
  EXPECT_FALSE(json.contains("close_reason"));
}

TEST(WatchTellerTest, AnIdentityPlaysNoTricksOnATerminal) {
  WatchTeller teller;
  WatchEvent event = Event(WatchEventKind::kChannelReady, 1);
  event.channel.producer_identity = "a\033[2Jb";
  EXPECT_EQ(TextOf(*teller.Tell(event)).find('\033'), std::string::npos);
}

}  // namespace
}  // namespace pylabhub::cli
