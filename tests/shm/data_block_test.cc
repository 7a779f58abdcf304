#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "shm/channel/channel_files.h"
#include "shm/channel_directory.h"
#include "shm/data_block_consumer.h"
#include "shm/data_block_producer.h"
#include "shm/typed.h"
#include "tests/shm/block_fixture.h"
#include "tests/support/every_policy.h"

namespace pylabhub::shm {
namespace {

using ::testing::HasSubstr;

using DataBlockTest = BlockFixture;

TEST_F(DataBlockTest, AConsumerReadsWhatWasCommittedWithNumberTimeAndByteCount) {
  auto producer = Create(Config(Policy::kSyncReader));
  auto consumer = Open();
  const absl::Time before = absl::Now();
  ASSERT_EQ(Put(*producer, "one"), SlotResult::kOk);
  ASSERT_EQ(Put(*producer, "four"), SlotResult::kOk);
  {
    ReadSlot slot = consumer->Acquire(kPatience);
    ASSERT_TRUE(slot);
    EXPECT_EQ(Text(slot), "one");
    EXPECT_EQ(slot.sequence(), 0u);
    EXPECT_GE(slot.timestamp(), before - absl::Milliseconds(1));
    EXPECT_LE(slot.timestamp(), absl::Now() + absl::Milliseconds(1));
    EXPECT_EQ(slot.missed_slots(), 0u);
    EXPECT_EQ(slot.Release(), SlotResult::kOk);
  }
  ReadSlot slot = consumer->Acquire(kPatience);
  EXPECT_EQ(Text(slot), "four");
  EXPECT_EQ(slot.sequence(), 1u);
}

// Fault 1 of the original: an aborted write burnt its number, and the reader stalled.
TEST_F(DataBlockTest, AnAbortedSlotUsesUpNoNumber) {
  for (const uint64_t slot_bytes : {64, 8192}) {
    auto producer = Create(Config(Policy::kSyncReader, slot_bytes));
    auto consumer = Open();
    for (int i = 0; i < 20; ++i) {
      {
        WriteSlot aborted = producer->Acquire(kPatience);
        ASSERT_TRUE(aborted);
        std::memset(aborted.payload().data(), 0xEE, slot_bytes);
      }
      ASSERT_EQ(Put(*producer, std::to_string(i)), SlotResult::kOk);
      ReadSlot slot = consumer->Acquire(kPatience);
      ASSERT_TRUE(slot);
      EXPECT_EQ(slot.sequence(), static_cast<uint64_t>(i));
      EXPECT_EQ(Text(slot), std::to_string(i));
    }
    EXPECT_EQ(producer->Stats().aborted_slots, 20u);
  }
}

// Fault 2 of the original: creating an existing name replaced a live segment in silence.
TEST_F(DataBlockTest, AChannelWithALiveProducerCannotBeCreatedAgain) {
  auto producer = Create(Config(Policy::kSyncReader));
  auto consumer = Open();
  const auto second = DataBlockProducer::Create(Config(Policy::kSyncReader));
  ASSERT_TRUE(absl::IsAlreadyExists(second.status())) << second.status();
  EXPECT_THAT(std::string(second.status().message()), HasSubstr(kBlock));
  ASSERT_EQ(Put(*producer, "still here"), SlotResult::kOk);
  EXPECT_EQ(Get(*consumer), "still here");
}

TEST_F(DataBlockTest, ALosslessProducerWaitsForItsSlowestConsumerAndNoLonger) {
  auto producer = Create(Config(Policy::kSyncReader, 64, 4));
  auto consumer = Open();
  for (int i = 0; i < 4; ++i) ASSERT_EQ(Put(*producer, std::to_string(i)), SlotResult::kOk);
  EXPECT_EQ(Put(*producer, "4", absl::Milliseconds(5)), SlotResult::kTimeout);
  EXPECT_EQ(Get(*consumer), "0");
  EXPECT_EQ(Put(*producer, "4"), SlotResult::kOk);
  EXPECT_EQ(Put(*producer, "5", absl::ZeroDuration()), SlotResult::kTimeout);
  for (int i = 1; i < 5; ++i) EXPECT_EQ(Get(*consumer), std::to_string(i));
  EXPECT_EQ(producer->Stats().waits, 2u);
}

TEST_F(DataBlockTest, AnOverwritingProducerNeverWaitsAndTheCountMissedIsTold) {
  for (const uint64_t slot_bytes : {64, 8192}) {
    auto producer = Create(Config(Policy::kPublishSubscribe, slot_bytes, 8));
    auto consumer = Open();
    for (int i = 0; i < 100; ++i)
      ASSERT_EQ(Put(*producer, std::to_string(i), absl::ZeroDuration()), SlotResult::kOk);
    uint64_t seen = 0;
    uint64_t missed = 0;
    for (;;) {
      ReadSlot slot = consumer->Acquire(absl::ZeroDuration());
      if (!slot) break;
      ++seen;
      missed += slot.missed_slots();
      EXPECT_EQ(slot.sequence() + 1, seen + missed);
      EXPECT_EQ(Text(slot), std::to_string(slot.sequence()));
    }
    EXPECT_EQ(seen + missed, 100u);
    EXPECT_GE(seen, 4u);
    EXPECT_EQ(consumer->Stats().missed_slots, missed);
  }
}

TEST_F(DataBlockTest, ALatestOnlyConsumerJumpsToTheNewestSlotAndGetsItOnce) {
  for (const uint64_t slot_bytes : {64, 8192}) {
    auto producer = Create(Config(Policy::kLatestOnly, slot_bytes));
    auto consumer = Open();
    for (int i = 0; i < 7; ++i)
      ASSERT_EQ(Put(*producer, std::to_string(i), absl::ZeroDuration()), SlotResult::kOk);
    {
      ReadSlot slot = consumer->Acquire(kPatience);
      EXPECT_EQ(Text(slot), "6");
      EXPECT_EQ(slot.missed_slots(), 6u);
    }
    EXPECT_EQ(Get(*consumer, absl::ZeroDuration()), "timeout");
    ASSERT_EQ(Put(*producer, "7"), SlotResult::kOk);
    EXPECT_EQ(Get(*consumer), "7");
  }
}

TEST_F(DataBlockTest, AConsumerOfTheLatestGetsTheNewestSlotThatThereIsWhenItJoins) {
  auto producer = Create(Config(Policy::kLatestOnly));
  ASSERT_EQ(Put(*producer, "before"), SlotResult::kOk);
  auto consumer = Open();
  EXPECT_EQ(Get(*consumer), "before");
}

TEST_F(DataBlockTest, AConsumerOfTheLatestOnALosslessChannelHoldsNobodyBack) {
  for (const uint64_t slot_bytes : {64, 8192}) {
    auto producer = Create(Config(Policy::kSyncReader, slot_bytes, 2));
    auto latest = Open({.order = ReadOrder::kLatest});
    auto next = Open();
    for (int i = 0; i < 50; ++i) {
      ASSERT_EQ(Put(*producer, std::to_string(i)), SlotResult::kOk);
      EXPECT_EQ(Get(*next), std::to_string(i));
      if (i % 10 == 9) {
        EXPECT_EQ(Get(*latest), std::to_string(i));
      }
    }
    EXPECT_EQ(latest->Stats().missed_slots, 45u);
  }
}

TEST_F(DataBlockTest, AHeldLargeSlotDoesNotChangeWhileTheProducerGoesOnWriting) {
  auto producer = Create(Config(Policy::kLatestOnly, 8192, 2));
  auto consumer = Open();
  ASSERT_EQ(Put(*producer, std::string(8192, 'a')), SlotResult::kOk);
  ReadSlot held = consumer->Acquire(kPatience);
  ASSERT_TRUE(held);
  for (int i = 0; i < 100; ++i)
    ASSERT_EQ(Put(*producer, std::string(8192, 'z'), absl::ZeroDuration()), SlotResult::kOk);
  EXPECT_EQ(Text(held), std::string(8192, 'a'));
  EXPECT_EQ(held.Release(), SlotResult::kOk);
}

TEST_F(DataBlockTest, TooManyBytesAreRefusedAndNothingIsPublished) {
  auto producer = Create(Config(Policy::kSyncReader));
  auto consumer = Open();
  WriteSlot slot = producer->Acquire(kPatience);
  EXPECT_EQ(slot.Commit(65), SlotResult::kTooLarge);
  EXPECT_EQ(Get(*consumer, absl::ZeroDuration()), "timeout");
  ASSERT_EQ(Put(*producer, "next"), SlotResult::kOk);
  EXPECT_EQ(Get(*consumer), "next");
}

// Fault 8 of the original: the ninth consumer got a handle that never read anything.
TEST_F(DataBlockTest, TheConsumerThatFindsNoPlaceIsRefusedAndAPlaceThatIsLeftIsTakenAgain) {
  ChannelConfig config = Config(Policy::kSyncReader);
  config.max_consumers = 9;
  auto producer = Create(config);
  std::vector<std::unique_ptr<DataBlockConsumer>> consumers;
  for (int i = 0; i < 9; ++i) consumers.push_back(Open());
  const auto tenth = DataBlockConsumer::Open(kBlock, {.directory = folder_.path()});
  ASSERT_TRUE(absl::IsResourceExhausted(tenth.status())) << tenth.status();
  EXPECT_EQ(producer->consumer_count(), 9u);
  ASSERT_EQ(Put(*producer, "to all"), SlotResult::kOk);
  for (auto& consumer : consumers) EXPECT_EQ(Get(*consumer), "to all");
  consumers.pop_back();
  consumers.push_back(Open());
  ASSERT_EQ(Put(*producer, "again"), SlotResult::kOk);
  for (auto& consumer : consumers) EXPECT_EQ(Get(*consumer), "again");
}

TEST_F(DataBlockTest, ASingleReaderChannelHasOneReader) {
  auto producer = Create(Config(Policy::kSingleReader));
  auto consumer = Open();
  const auto second = DataBlockConsumer::Open(kBlock, {.directory = folder_.path()});
  EXPECT_TRUE(absl::IsResourceExhausted(second.status())) << second.status();
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("single_reader"));
}

TEST_F(DataBlockTest, MoreHoldersOfLargeSlotsThanPinsAreRefused) {
  ChannelConfig config = Config(Policy::kLatestOnly, 8192);
  config.max_pins = 2;
  auto producer = Create(config);
  auto first = Open();
  auto second = Open();
  const auto third = DataBlockConsumer::Open(kBlock, {.directory = folder_.path()});
  ASSERT_TRUE(absl::IsResourceExhausted(third.status())) << third.status();
  EXPECT_THAT(std::string(third.status().message()), HasSubstr("max_pins"));
  first.reset();
  EXPECT_NE(Open(), nullptr);
}

TEST_F(DataBlockTest, TheFirstSlotWaitsForMinConsumers) {
  ChannelConfig config = Config(Policy::kSyncReader);
  config.min_consumers = 2;
  auto producer = Create(config);
  auto first = Open();
  EXPECT_EQ(Put(*producer, "early", absl::Milliseconds(5)), SlotResult::kTimeout);
  auto second = Open();
  ASSERT_EQ(Put(*producer, "now"), SlotResult::kOk);
  EXPECT_EQ(Get(*first), "now");
  EXPECT_EQ(Get(*second), "now");
  second.reset();
  EXPECT_EQ(Put(*producer, "only the first slot waits"), SlotResult::kOk);
}

TEST_F(DataBlockTest, AConsumerThatTheFirstSlotWaitedForGetsIt) {
  ChannelConfig config = Config(Policy::kSyncReader);
  config.min_consumers = 1;
  // The producer writes the moment that it sees the consumer, which is still in Open: many times, since one time in a
  // few it used to start behind the first slot.
  for (int i = 0; i < 200; ++i) {
    auto producer = Create(config);
    std::thread writer(
        [&] { EXPECT_EQ(Put(*producer, "first", absl::InfiniteDuration()), SlotResult::kOk); });
    auto consumer = Open();
    EXPECT_EQ(Get(*consumer), "first");
    writer.join();
  }
}

TEST_F(DataBlockTest, AClosedChannelIsReadToItsEndAndThenSaysSo) {
  for (const Policy policy : pylabhub::testing::kEveryPolicy) {
    auto producer = Create(Config(policy));
    auto consumer = Open();
    ASSERT_EQ(Put(*producer, "last"), SlotResult::kOk);
    producer.reset();
    EXPECT_EQ(Get(*consumer), "last");
    EXPECT_EQ(Get(*consumer), "producer closed");
    EXPECT_EQ(Get(*consumer, absl::ZeroDuration()), "producer closed");
    EXPECT_FALSE(consumer->ProducerIsAlive());
  }
}

TEST_F(DataBlockTest, ASleepingConsumerIsWokenByTheNextSlot) {
  auto producer = Create(Config(Policy::kSyncReader));
  auto consumer = Open({.wait = {.spin = absl::ZeroDuration()}});
  std::string got;
  std::thread reader([&] { got = Get(*consumer, absl::InfiniteDuration()); });
  // Its wait is counted as a sleep before it ends, so this ends when it has slept at least once.
  ASSERT_EQ(Put(*producer, "wake up"), SlotResult::kOk);
  reader.join();
  EXPECT_EQ(got, "wake up");
}

TEST_F(DataBlockTest, ASleepingConsumerIsToldThatTheChannelWasClosed) {
  auto producer = Create(Config(Policy::kSyncReader));
  auto consumer = Open({.wait = {.spin = absl::ZeroDuration()}});
  std::thread reader([&] { EXPECT_EQ(Get(*consumer, absl::InfiniteDuration()), "producer closed"); });
  producer.reset();
  reader.join();
}

TEST_F(DataBlockTest, AnAbsentChannelIsNotFoundAndOneThatAppearsInTimeIs) {
  EXPECT_TRUE(absl::IsNotFound(DataBlockConsumer::Open("no.such", {.directory = folder_.path()}).status()));
  std::unique_ptr<DataBlockConsumer> consumer;
  std::thread reader([&] { consumer = Open({.open_timeout = kPatience}); });
  auto producer = Create(Config(Policy::kSyncReader));
  reader.join();
  ASSERT_NE(consumer, nullptr);
  ASSERT_EQ(Put(*producer, "found"), SlotResult::kOk);
  EXPECT_EQ(Get(*consumer), "found");
}

TEST_F(DataBlockTest, TheFilesAreTheirOwnersAloneAndGoWithTheLastParticipant) {
  auto producer = Create(Config(Policy::kSyncReader));
  EXPECT_EQ(folder_.Files().size(), 3u);
  auto consumer = Open();
  producer.reset();
  EXPECT_EQ(folder_.Files().size(), 3u);
  consumer.reset();
  EXPECT_THAT(folder_.Files(), ::testing::IsEmpty());
}

TEST_F(DataBlockTest, ASuccessorKeepsThePlaceOfALivingConsumerWhichReadsBothToTheEnd) {
  auto producer = Create(Config(Policy::kSyncReader));
  auto consumer = Open();
  ASSERT_EQ(Put(*producer, "old"), SlotResult::kOk);
  const SegmentId old_id = producer->segment_id();
  producer.reset();
  producer = Create(Config(Policy::kSyncReader));
  EXPECT_EQ(producer->predecessor_id(), old_id);
  for (int i = 0; i < 4; ++i) ASSERT_EQ(Put(*producer, std::to_string(i)), SlotResult::kOk);
  EXPECT_EQ(Put(*producer, "4", absl::Milliseconds(5)), SlotResult::kTimeout) << "the place was not kept";
  EXPECT_EQ(Get(*consumer), "old");
  EXPECT_EQ(Get(*consumer), "producer closed");
  ASSERT_TRUE(consumer->Follow(kPatience).ok());
  EXPECT_EQ(consumer->segment_id(), producer->segment_id());
  ASSERT_EQ(Put(*producer, "4", absl::ZeroDuration()), SlotResult::kTimeout);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(Get(*consumer), std::to_string(i));
  EXPECT_EQ(Put(*producer, "4"), SlotResult::kOk);
  EXPECT_EQ(Get(*consumer), "4");
}

TEST_F(DataBlockTest, AConsumerThatWasTwoProducersBehindReadsEachToTheEnd) {
  auto producer = Create(Config(Policy::kSyncReader));
  auto consumer = Open();
  ASSERT_EQ(Put(*producer, "first"), SlotResult::kOk);
  producer.reset();
  producer = Create(Config(Policy::kSyncReader));
  ASSERT_EQ(Put(*producer, "second"), SlotResult::kOk);
  producer.reset();
  producer = Create(Config(Policy::kSyncReader));
  ASSERT_EQ(Put(*producer, "third"), SlotResult::kOk);
  for (const char* text : {"first", "second", "third"}) {
    EXPECT_EQ(Get(*consumer), text);
    if (std::string(text) == "third") break;
    EXPECT_EQ(Get(*consumer), "producer closed");
    ASSERT_TRUE(consumer->Follow(kPatience).ok());
  }
}

TEST_F(DataBlockTest, ADamagedSegmentInBetweenDoesNotKeepAConsumerFromTheCurrentOne) {
  auto producer = Create(Config(Policy::kSyncReader));
  auto consumer = Open();
  producer.reset();
  producer = Create(Config(Policy::kSyncReader));
  const std::string between = ChannelFiles(folder_.path(), kBlock).DataPath(producer->segment_id());
  producer.reset();
  producer = Create(Config(Policy::kSyncReader));
  ASSERT_EQ(Put(*producer, "third"), SlotResult::kOk);
  std::filesystem::resize_file(between, 100);
  EXPECT_EQ(Get(*consumer), "producer closed");
  ASSERT_TRUE(consumer->Follow(kPatience).ok());
  EXPECT_EQ(Get(*consumer), "third");
}

TEST_F(DataBlockTest, APlaceIsKeptNoLongerThanTheChannelSays) {
  auto producer = Create(Config(Policy::kSyncReader));
  auto consumer = Open();
  producer.reset();
  ChannelConfig config = Config(Policy::kSyncReader);
  config.reservation_ttl = absl::ZeroDuration();
  producer = Create(config);
  for (int i = 0; i < 10; ++i) ASSERT_EQ(Put(*producer, std::to_string(i)), SlotResult::kOk);
  ASSERT_TRUE(consumer->Follow(kPatience).ok());
  ASSERT_EQ(Put(*producer, "ten"), SlotResult::kOk);
  EXPECT_EQ(Get(*consumer), "ten");
}

TEST_F(DataBlockTest, FollowSaysThatItComesTooEarlyOrThatNobodyCame) {
  auto producer = Create(Config(Policy::kSyncReader));
  auto consumer = Open();
  EXPECT_TRUE(absl::IsFailedPrecondition(consumer->Follow(absl::ZeroDuration())));
  producer.reset();
  EXPECT_TRUE(absl::IsDeadlineExceeded(consumer->Follow(absl::Milliseconds(5))));
}

TEST_F(DataBlockTest, TheDirectoryListsAChannelWithItsFacts) {
  auto producer = Create(Config(Policy::kSyncReader));
  auto consumer = Open();
  ASSERT_EQ(Put(*producer, "x"), SlotResult::kOk);
  const auto channels = ListNamedChannels(folder_.path());
  ASSERT_TRUE(channels.ok());
  ASSERT_EQ(channels->size(), 1u);
  const NamedChannel& found = channels->front();
  EXPECT_TRUE(found.status.ok()) << found.status;
  EXPECT_EQ(found.channel, kBlock);
  EXPECT_EQ(found.segment_id, producer->segment_id());
  EXPECT_TRUE(found.producer_alive);
  EXPECT_EQ(found.consumer_count, 1u);
  EXPECT_EQ(found.committed_slots, 1u);
}

TEST_F(DataBlockTest, ManySlotsPassBetweenTwoThreadsInOrderUnderEveryPolicyAndSize) {
  for (const Policy policy : pylabhub::testing::kEveryPolicy) {
    for (const uint64_t slot_bytes : {16, 1024, 4096}) {
      for (const uint32_t capacity : {2, 7, 64}) {
        constexpr uint64_t kSlots = 20'000;
        auto producer = Create(Config(policy, slot_bytes, capacity));
        auto consumer = Open();
        std::thread writer([&] {
          for (uint64_t i = 0; i < kSlots; ++i) {
            WriteSlot slot = producer->Acquire(kPatience);
            ASSERT_TRUE(slot);
            auto* words = reinterpret_cast<uint64_t*>(slot.payload().data());
            for (uint64_t w = 0; w < slot_bytes / 8; ++w) words[w] = i * 31 + w;
            ASSERT_EQ(slot.Commit(slot_bytes), SlotResult::kOk);
          }
          producer.reset();
        });
        uint64_t accounted = 0;
        for (;;) {
          ReadSlot slot = consumer->Acquire(kPatience);
          if (!slot) {
            EXPECT_EQ(slot.result(), SlotResult::kProducerClosed);
            break;
          }
          accounted += slot.missed_slots() + 1;
          ASSERT_EQ(slot.sequence() + 1, accounted);
          const auto* words = reinterpret_cast<const uint64_t*>(slot.payload().data());
          for (uint64_t w = 0; w < slot_bytes / 8; ++w)
            ASSERT_EQ(words[w], slot.sequence() * 31 + w) << "torn";
          ASSERT_EQ(slot.Release(), SlotResult::kOk);
        }
        writer.join();
        EXPECT_EQ(accounted, kSlots) << NameOf(policy) << " " << slot_bytes << " " << capacity;
        EXPECT_TRUE(!IsLossless(policy) || consumer->Stats().missed_slots == 0);
      }
    }
  }
}

struct Reading {
  double celsius;
  int64_t timestamp_ns;
};
PYLABHUB_SCHEMA(Reading, (celsius, "Cel"), (timestamp_ns, "ns"));
struct Other {
  double kelvin;
  int64_t timestamp_ns;
};
PYLABHUB_SCHEMA(Other, (kelvin, "K"), (timestamp_ns, "ns"));

TEST_F(DataBlockTest, TypedSlotsCarryTheirTypeAndAnotherTypeIsRefused) {
  auto producer = Producer<Reading>::Create(kBlock, {.directory = folder_.path()});
  ASSERT_TRUE(producer.ok()) << producer.status();
  auto consumer = Consumer<Reading>::Open(kBlock, {.directory = folder_.path()});
  ASSERT_TRUE(consumer.ok()) << consumer.status();
  const auto other = Consumer<Other>::Open(kBlock, {.directory = folder_.path()});
  ASSERT_TRUE(absl::IsFailedPrecondition(other.status()));
  EXPECT_THAT(std::string(other.status().message()), HasSubstr("SCHEMA_MISMATCH"));
  EXPECT_THAT(std::string(other.status().message()), HasSubstr(ToHex(HashOf(SchemaOf<Reading>()))));
  EXPECT_THAT(std::string(other.status().message()), HasSubstr(ToHex(HashOf(SchemaOf<Other>()))));
  ASSERT_EQ(producer->Write({21.5, 7}), SlotResult::kOk);
  const std::optional<Reading> reading = consumer->Read(kPatience);
  ASSERT_TRUE(reading.has_value());
  EXPECT_EQ(reading->celsius, 21.5);
  EXPECT_EQ(consumer->block().schema().fields[0].unit, "Cel");
}

}  // namespace
}  // namespace pylabhub::shm
