#include "shm/ring/chunk_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "tests/shm/control_room.h"
#include "tests/support/seed.h"

namespace pylabhub::shm {
namespace {

TEST(ChunkPoolTest, EveryChunkIsGivenOnceAndThenNone) {
  ControlRoom room(1);
  ChunkPool pool(3, /*all_fit_into_cache=*/false);
  std::vector<uint32_t> taken;
  for (int i = 0; i < 3; ++i) taken.push_back(pool.Take(room.roster(), 0));
  std::sort(taken.begin(), taken.end());
  EXPECT_EQ(taken, (std::vector<uint32_t>{0, 1, 2}));
  EXPECT_EQ(pool.Take(room.roster(), 0), ChunkPool::kNone);
}

TEST(ChunkPoolTest, TheChunkThatBecameFreeLastIsTakenFirst) {
  ControlRoom room(1);
  ChunkPool pool(4, /*all_fit_into_cache=*/false);
  const uint32_t first = pool.Take(room.roster(), 0);
  const uint32_t second = pool.Take(room.roster(), 0);
  pool.Retire(first);
  EXPECT_EQ(pool.Take(room.roster(), 0), first);
  pool.Return(second);
  EXPECT_EQ(pool.Take(room.roster(), 0), second);
}

TEST(ChunkPoolTest, WhatBecameFreeLastIsWarmUntilItIsTaken) {
  ControlRoom room(1);
  ChunkPool pool(4, /*all_fit_into_cache=*/false);
  EXPECT_FALSE(pool.HasWarm(1)) << "nothing was in the cache yet";
  const uint32_t first = pool.Take(room.roster(), 0);
  const uint32_t second = pool.Take(room.roster(), 0);
  pool.Retire(first);
  pool.Retire(second);
  EXPECT_EQ(pool.Take(room.roster(), 0), second);
  EXPECT_TRUE(pool.HasWarm(1));
  EXPECT_FALSE(pool.HasWarm(2));
  EXPECT_EQ(pool.Take(room.roster(), 0), first);
  EXPECT_FALSE(pool.HasWarm(1));
}

TEST(ChunkPoolTest, InAPoolThatFitsIntoTheCacheWhatIsFreeIsTakenBeforeWhatIsRetired) {
  ControlRoom room(1);
  ChunkPool pool(3, /*all_fit_into_cache=*/true);
  const uint32_t first = pool.Take(room.roster(), 0);
  pool.Retire(first);
  EXPECT_TRUE(pool.HasWarm(2));
  EXPECT_NE(pool.Take(room.roster(), 0), first);
  EXPECT_NE(pool.Take(room.roster(), 0), first);
  EXPECT_FALSE(pool.HasWarm(1));
  EXPECT_EQ(pool.Take(room.roster(), 0), first);
}

TEST(ChunkPoolTest, ARetiredChunkIsNotWrittenWhileItIsPinned) {
  ControlRoom room(1);
  ChunkPool pool(2, /*all_fit_into_cache=*/false);
  const uint32_t read = pool.Take(room.roster(), 0);
  room.Join(0);
  room.entry(0).pins[0] = 1 + read;
  pool.Retire(read);
  const uint32_t other = pool.Take(room.roster(), 0);
  EXPECT_NE(other, read);
  EXPECT_EQ(pool.Take(room.roster(), 0), ChunkPool::kNone);
  room.entry(0).pins[0] = 0;
  EXPECT_EQ(pool.Take(room.roster(), 0), read);
}

TEST(ChunkPoolTest, ThePinOfADeadConsumerIsTakenAwayWhenNothingElseIsLeft) {
  ControlRoom room(2);
  ChunkPool pool(2, /*all_fit_into_cache=*/false);
  room.Join(0);
  room.Join(1);
  const uint32_t held_by_dead = pool.Take(room.roster(), 0);
  const uint32_t held_by_living = pool.Take(room.roster(), 0);
  room.entry(0).pins[0] = 1 + held_by_dead;
  room.entry(1).pins[0] = 1 + held_by_living;
  room.Kill(0);
  pool.Retire(held_by_dead);
  pool.Retire(held_by_living);
  EXPECT_EQ(pool.Take(room.roster(), 0), held_by_dead);
  EXPECT_EQ(pool.Take(room.roster(), 0), ChunkPool::kNone);
}

// Joiners are counted without the dead, so the pins of the living and the dead may be more than max_pins.
TEST(ChunkPoolTest, ADeadConsumersPinTakesNoneFromTheLiving) {
  ControlRoom room(3, /*max_pins=*/2);
  ChunkPool pool(4, /*all_fit_into_cache=*/false);
  for (uint32_t place = 0; place < 3; ++place) {
    const uint32_t chunk = pool.Take(room.roster(), 0);
    room.Join(place);
    room.entry(place).pins[0] = 1 + chunk;
    if (place == 1) room.Kill(place);
  }
  for (uint32_t place = 0; place < 3; ++place)
    pool.Retire(static_cast<uint32_t>(room.entry(place).pins[0] - 1));
  for (int i = 0; i < 2; ++i) {
    const uint64_t taken = pool.Take(room.roster(), 0) + uint64_t{1};
    EXPECT_NE(taken, room.entry(0).pins[0]);
    EXPECT_NE(taken, room.entry(2).pins[0]);
  }
  EXPECT_EQ(pool.Take(room.roster(), 0), ChunkPool::kNone);
}

TEST(ChunkPoolTest, TheKernelIsNotAskedWhileThereIsAFreeChunk) {
  ControlRoom room(1);
  ChunkPool pool(4, /*all_fit_into_cache=*/false);
  room.Join(0);
  room.entry(0).pins[0] = 1;
  for (int i = 0; i < 100; ++i) pool.Retire(pool.Take(room.roster(), 0));
  EXPECT_EQ(room.probes(), 0u);
}

TEST(ChunkPoolTest, NoChunkIsLostOrGivenTwiceOverRandomSteps) {
  std::mt19937_64 random(pylabhub::testing::Seed());
  constexpr uint32_t kChunks = 6;
  ControlRoom room(2);
  ChunkPool pool(kChunks, /*all_fit_into_cache=*/false);
  room.Join(0);
  room.Join(1);
  std::vector<uint32_t> in_use;
  int refused = 0;
  for (int step = 0; step < 50'000; ++step) {
    const uint64_t dice = random() % 10;
    if (dice < 4) {
      const uint32_t chunk = pool.Take(room.roster(), 0);
      if (chunk == ChunkPool::kNone) {
        ++refused;
        continue;
      }
      ASSERT_LT(chunk, kChunks);
      ASSERT_EQ(std::count(in_use.begin(), in_use.end(), chunk), 0);
      for (uint32_t place = 0; place < 2; ++place) ASSERT_NE(room.entry(place).pins[0], 1 + chunk);
      in_use.push_back(chunk);
    } else if (dice < 8 && !in_use.empty()) {
      const size_t index = random() % in_use.size();
      // Pinned before it is retired, as by a consumer that found it in the ring.
      if (random() % 2 == 0) room.entry(static_cast<uint32_t>(random() % 2)).pins[0] = 1 + in_use[index];
      pool.Retire(in_use[index]);
      in_use.erase(in_use.begin() + static_cast<ptrdiff_t>(index));
    } else {
      room.entry(static_cast<uint32_t>(random() % 2)).pins[0] = 0;
    }
  }
  EXPECT_GT(refused, 100);
  for (uint32_t place = 0; place < 2; ++place) room.entry(place).pins[0] = 0;
  while (in_use.size() < kChunks) {
    in_use.push_back(pool.Take(room.roster(), 0));
    ASSERT_NE(in_use.back(), ChunkPool::kNone) << "a chunk is lost";
  }
}

}  // namespace
}  // namespace pylabhub::shm
