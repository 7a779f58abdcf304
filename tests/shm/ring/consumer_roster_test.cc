#include "shm/ring/consumer_roster.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <random>
#include <vector>

#include "tests/shm/control_room.h"
#include "tests/support/seed.h"

namespace pylabhub::shm {
namespace {

uint64_t SlowestCursor(ControlRoom& room, uint64_t head) {
  room.roster().Refresh(head);
  return room.roster().FindSlowest(head).cursor;
}

std::vector<uint32_t> Pinned(ControlRoom& room, size_t chunks) {
  std::vector<bool> pinned(chunks, false);
  room.roster().Refresh(0);
  room.roster().MarkPinned(pinned);
  std::vector<uint32_t> result;
  for (uint32_t i = 0; i < chunks; ++i) {
    if (pinned[i]) result.push_back(i);
  }
  return result;
}

using Chunks = std::vector<uint32_t>;

TEST(ConsumerRosterTest, NobodyIsWaitedForWhereNobodyIs) {
  ControlRoom room(4);
  EXPECT_EQ(SlowestCursor(room, 10), UINT64_MAX);
  EXPECT_EQ(room.roster().FindSlowest(10).index, ConsumerRoster::kNobody);
  EXPECT_EQ(room.roster().CountSettled(), 0u);
}

TEST(ConsumerRosterTest, TheSlowestOfThoseWhoReadEverySlotIsFound) {
  ControlRoom room(4);
  room.Join(0, 7);
  room.Join(2, 3);
  room.Join(3, 1, ReadOrder::kLatest);
  EXPECT_EQ(SlowestCursor(room, 10), 3u);
  EXPECT_EQ(room.roster().FindSlowest(10).index, 2u);
  room.entry(2).cursor = 9;
  EXPECT_EQ(SlowestCursor(room, 10), 7u);
  room.Leave(0);
  EXPECT_EQ(SlowestCursor(room, 10), 9u);
  EXPECT_EQ(room.roster().CountSettled(), 2u);
}

TEST(ConsumerRosterTest, AnEntryThatIsNotActiveIsNotAConsumer) {
  ControlRoom room(4);
  room.Join(1, 5);
  room.entry(1).state = StateOf(1, Phase::kJoining);
  EXPECT_EQ(SlowestCursor(room, 10), UINT64_MAX);
}

TEST(ConsumerRosterTest, AConsumerCountsOnceItHasChosenItsFirstSlot) {
  ControlRoom room(2);
  room.Join(0, 5);
  room.entry(0).wait_state = kNotYet;
  EXPECT_EQ(SlowestCursor(room, 10), 5u) << "it is waited for all the same";
  EXPECT_EQ(room.roster().CountSettled(), 0u);
  room.entry(0).wait_state = kAwake;
  EXPECT_EQ(room.roster().CountSettled(), 1u);
}

TEST(ConsumerRosterTest, ACursorThatGoesBackOrPastTheHeadIsNotFollowedAndIsCounted) {
  ControlRoom room(1);
  room.Join(0, 5);
  EXPECT_EQ(SlowestCursor(room, 10), 5u);
  for (const uint64_t nonsense : {uint64_t{4}, uint64_t{0}, uint64_t{11}, UINT64_MAX}) {
    room.entry(0).cursor = nonsense;
    const uint64_t before = room.roster().invalid_values();
    EXPECT_EQ(SlowestCursor(room, 10), 5u);
    EXPECT_GT(room.roster().invalid_values(), before);
  }
  room.entry(0).cursor = 10;
  EXPECT_EQ(SlowestCursor(room, 10), 10u);
}

TEST(ConsumerRosterTest, AJoinersCursorIsNeverTakenToBePastTheHead) {
  ControlRoom room(1);
  room.Join(0, UINT64_MAX);
  EXPECT_EQ(SlowestCursor(room, 10), 10u);
}

TEST(ConsumerRosterTest, TheDeadAreForgottenUntilTheirPlaceIsTakenAnew) {
  ControlRoom room(2);
  room.Join(0, 3);
  room.Join(1, 8);
  EXPECT_EQ(SlowestCursor(room, 10), 3u);
  EXPECT_FALSE(room.roster().EvictDeadBelow(10)) << "they live";
  room.Kill(0);
  EXPECT_FALSE(room.roster().EvictDeadBelow(3)) << "it holds nothing back that is needed";
  EXPECT_TRUE(room.roster().EvictDeadBelow(4));
  EXPECT_EQ(room.roster().evicted_consumers(), 1u);
  EXPECT_EQ(SlowestCursor(room, 10), 8u);
  // Somebody else's coming makes the roster read every entry again.
  room.Leave(1);
  EXPECT_EQ(SlowestCursor(room, 10), UINT64_MAX);
  room.Join(0, 9);
  EXPECT_EQ(SlowestCursor(room, 10), 9u);
}

TEST(ConsumerRosterTest, OnlySleepersAreAskedAboutWhenSleepersAreEvicted) {
  ControlRoom room(3);
  for (uint32_t place = 0; place < 3; ++place) room.Join(place);
  room.roster().Refresh(0);
  EXPECT_FALSE(room.roster().AnyMaySleep());
  room.entry(1).wait_state = kMaySleep;
  EXPECT_TRUE(room.roster().AnyMaySleep());
  EXPECT_TRUE(room.roster().FindSleepers(1).empty());
  room.entry(1).wait_state = kSleeping;
  EXPECT_EQ(room.roster().FindSleepers(1).size(), 1u);
  room.Kill(0);
  room.Kill(1);
  room.roster().EvictDeadSleepers();
  EXPECT_EQ(room.probes(), 1u);
  EXPECT_EQ(room.roster().CountSettled(), 2u);
  EXPECT_TRUE(room.roster().FindSleepers(1).empty());
}

TEST(ConsumerRosterTest, SleepersAreFoundBySlotAndOnlyIfItIsThere) {
  ControlRoom room(4);
  for (uint32_t place = 0; place < 4; ++place) room.Join(place, place < 2 ? 3 : 5 + place);
  room.roster().Refresh(8);
  for (uint32_t place = 0; place < 4; ++place) room.entry(place).wait_state = kSleeping;
  const auto found = room.roster().FindSleepers(8);
  ASSERT_EQ(found.size(), 2u) << "the one at 8 sleeps for what is to come";
  EXPECT_EQ(found[0].cursor, 3u);
  EXPECT_EQ(found[0].count, 2);
  EXPECT_EQ(found[1].cursor, 7u);
  EXPECT_EQ(found[1].count, 1);
}

TEST(ConsumerRosterTest, WhoWasTakenOutOfItsSleepIsNotFoundAgainBeforeItHasMovedOn) {
  ControlRoom room(2);
  room.Join(0, 3);
  room.Join(1, 3);
  room.roster().Refresh(5);
  room.entry(0).wait_state = kSleeping;
  room.roster().NoteWoken({.cursor = 3, .count = 1});
  EXPECT_TRUE(room.roster().FindSleepers(5).empty());
  room.entry(1).wait_state = kSleeping;
  EXPECT_EQ(room.roster().FindSleepers(5).size(), 1u) << "the other was awake then";
  room.entry(0).cursor = 4;
  EXPECT_EQ(room.roster().FindSleepers(5).size(), 2u);
}

TEST(ConsumerRosterTest, AKeptPlaceHoldsEverySlotBackUntilItsConsumerComes) {
  ControlRoom room(3);
  room.roster().Reserve(1, 4711);
  room.Join(0, 5);
  EXPECT_EQ(SlowestCursor(room, 10), 0u);
  EXPECT_EQ(room.roster().FindSlowest(10).index, 1u);
  room.Join(1, 0, ReadOrder::kNext, 4711);
  EXPECT_EQ(SlowestCursor(room, 10), 0u);
  EXPECT_FALSE(room.roster().IsReserved(1));
  room.entry(1).cursor = 6;
  EXPECT_EQ(SlowestCursor(room, 10), 5u);
}

// Its consumer cannot come any more, and a stranger starts at a cursor of its own.
TEST(ConsumerRosterTest, APlaceThatAStrangerTookIsKeptNoLonger) {
  ControlRoom room(3);
  room.roster().Reserve(1, 4711);
  room.Join(1, 5, ReadOrder::kNext, 4712);
  EXPECT_EQ(SlowestCursor(room, 10), 5u);
  EXPECT_FALSE(room.roster().AnyReserved());
}

TEST(ConsumerRosterTest, AReleasedReservationHoldsNobodyBack) {
  ControlRoom room(3);
  room.roster().Reserve(1, 4711);
  room.Join(0, 5);
  EXPECT_EQ(SlowestCursor(room, 10), 0u);
  room.roster().ReleaseReservation(1);
  room.roster().ReleaseReservation(1);
  EXPECT_FALSE(room.roster().AnyReserved());
  EXPECT_EQ(SlowestCursor(room, 10), 5u);
}

TEST(ConsumerRosterTest, PinsAreHonouredAsFarAsTheyWereDeclared) {
  ControlRoom room(2);
  room.Join(0);
  room.entry(0).pins[0] = 1 + 3;
  room.entry(0).pins[1] = 1 + 4;
  EXPECT_EQ(Pinned(room, 8), Chunks{3});
  room.Leave(0);
  room.Join(0);
  room.entry(0).pins_declared = UINT32_MAX;
  for (auto& pin : room.entry(0).pins) pin = 1 + 5;
  EXPECT_EQ(Pinned(room, 8), Chunks{5}) << "and no further than the entry";
}

TEST(ConsumerRosterTest, APinOfAChunkThatDoesNotExistIsCountedAndNotFollowed) {
  ControlRoom room(1);
  room.Join(0);
  for (const uint64_t nonsense : {uint64_t{9}, UINT64_MAX}) {
    room.entry(0).pins[0] = nonsense;
    const uint64_t before = room.roster().invalid_values();
    EXPECT_EQ(Pinned(room, 8), Chunks{});
    EXPECT_EQ(room.roster().invalid_values(), before + 1);
  }
  room.entry(0).pins[0] = 8;
  EXPECT_EQ(Pinned(room, 8), Chunks{7});
}

TEST(ConsumerRosterTest, AConsumerThatSetsMorePinsThanThereAreTakesNobodyElsesFirst) {
  ControlRoom room(3, /*max_pins=*/3);
  for (uint32_t place = 0; place < 3; ++place) {
    room.Join(place);
    room.entry(place).pins[0] = 1 + place;
  }
  // Place 0 declares and sets all that an entry has room for.
  room.entry(0).pins_declared = kPinsPerConsumer;
  for (auto& pin : room.entry(0).pins) pin = 8;
  room.entry(0).pins[0] = 1;
  EXPECT_EQ(Pinned(room, 8), (Chunks{0, 1, 2}));
}

TEST(ConsumerRosterTest, NoMorePinsAreHonouredThanTheChannelHas) {
  ControlRoom room(3, /*max_pins=*/2);
  for (uint32_t place = 0; place < 3; ++place) {
    room.Join(place);
    room.entry(place).pins[0] = 1 + place;
  }
  EXPECT_EQ(Pinned(room, 8).size(), 2u);
  std::vector<bool> pinned(8, false);
  EXPECT_FALSE(room.roster().MarkPinned(pinned)) << "and the caller is told that there are more";
  room.Leave(1);
  EXPECT_EQ(Pinned(room, 8), (Chunks{0, 2}));
}

// Whatever a consumer writes, every answer stays within bounds; a sanitizer watches.
TEST(ConsumerRosterTest, RandomEntriesLeadNowhere) {
  std::mt19937_64 random(pylabhub::testing::Seed());
  ControlRoom room(5, 4);
  uint64_t head = 0;
  for (int round = 0; round < 20'000; ++round) {
    head += random() % 3;
    auto* words = reinterpret_cast<std::atomic<uint64_t>*>(&room.entry(static_cast<uint32_t>(random() % 5)));
    words[random() % (sizeof(ConsumerEntry) / 8)] = random() % 2 == 0 ? random() % 20 : random();
    if (random() % 4 == 0) room.Join(static_cast<uint32_t>(random() % 5), random());
    ConsumerRoster& roster = room.roster();
    roster.Refresh(head);
    const ConsumerRoster::Slowest slowest = roster.FindSlowest(head);
    ASSERT_TRUE(slowest.cursor <= head || slowest.index == ConsumerRoster::kNobody);
    std::vector<bool> pinned(9, false);
    roster.MarkPinned(pinned);
    ASSERT_LE(std::count(pinned.begin(), pinned.end(), true), 4);
    if (random() % 16 == 0) room.Kill(static_cast<uint32_t>(random() % 5));
    roster.EvictDeadBelow(random() % 2 == 0 ? head : random());
    for (const ConsumerRoster::Sleepers& sleepers : roster.FindSleepers(head)) {
      ASSERT_LT(sleepers.cursor, head);
      if (random() % 2 == 0) {
        roster.NoteWoken(sleepers);
        break;
      }
    }
    ASSERT_LE(roster.CountSettled(), 5u);
  }
}

}  // namespace
}  // namespace pylabhub::shm
