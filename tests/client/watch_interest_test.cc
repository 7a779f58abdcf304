#include "client/watch_interest.h"

#include <gtest/gtest.h>

#include "client/name_pattern.h"
#include "gmock/gmock.h"

namespace pylabhub {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(WatchInterestTest, NothingIsWatchedUntilSomethingIsWanted) {
  EXPECT_THAT(WatchInterest().Patterns({}), IsEmpty());
}

TEST(WatchInterestTest, WhatAPatternMatchesNeedsNoPatternOfItsOwn) {
  WatchInterest interest;
  interest.AddPattern("camera.*");
  interest.Ask("camera.left");
  interest.Ask("sensor");
  EXPECT_THAT(interest.Patterns({"camera.right", "stage"}), ElementsAre("camera.*", "sensor", "stage"));
}

TEST(WatchInterestTest, TheNamesThatWereAskedForLastAreKeptAndConsumedOnesAlways) {
  WatchInterest interest;
  for (size_t i = 0; i < 2 * WatchInterest::kMaxAskedNames; ++i)
    interest.Ask("n" + std::to_string(10'000 + i));
  const std::vector<std::string> patterns = interest.Patterns({"consumed"});
  EXPECT_LE(patterns.size(), WatchInterest::kMaxPatterns);
  EXPECT_TRUE(NameMatchesAny("consumed", patterns));
  EXPECT_TRUE(NameMatchesAny("n11999", patterns));
  EXPECT_TRUE(NameMatchesAny("n11000", patterns));
  EXPECT_FALSE(NameMatchesAny("n10000", patterns));
}

TEST(WatchInterestTest, MorePatternsThanAStreamCarriesBecomeOneOfEverything) {
  WatchInterest interest;
  for (size_t i = 0; i < WatchInterest::kMaxPatterns; ++i)
    interest.AddPattern("p" + std::to_string(i) + ".*");
  EXPECT_EQ(interest.Patterns({}).size(), WatchInterest::kMaxPatterns);
  EXPECT_THAT(interest.Patterns({"x"}), ElementsAre("*"));
  interest.AddPattern("q*");
  EXPECT_THAT(interest.Patterns({}), ElementsAre("*"));
}

}  // namespace
}  // namespace pylabhub
