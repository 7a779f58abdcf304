#include "client/name_pattern.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "gmock/gmock.h"
#include "tests/support/seed.h"

namespace pylabhub {
namespace {

using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

std::string RandomText(std::mt19937_64& random, absl::string_view letters, size_t max_bytes) {
  std::string text(random() % (max_bytes + 1), ' ');
  for (char& c : text) c = letters[random() % letters.size()];
  return text;
}

TEST(NamePatternTest, NoPatternsMatchEverything) {
  EXPECT_TRUE(NameMatchesAny("camera", {}));
  EXPECT_TRUE(NameMatchesAny("camera", {"a", "c*"}));
  EXPECT_FALSE(NameMatchesAny("camera", {"a", "b*"}));
}

TEST(NamePatternTest, FewNamesAreTheirOwnPatterns) {
  EXPECT_THAT(PatternsFor({"a", "b"}, 2), ElementsAre("a", "b"));
}

TEST(NamePatternTest, NamesThatShareMostComeTogetherFirst) {
  EXPECT_THAT(PatternsFor({"camera.left", "camera.right", "sensor.temperature", "x"}, 3),
              UnorderedElementsAre("camera.*", "sensor.temperature", "x"));
  EXPECT_THAT(PatternsFor({"a", "b", "c"}, 2), ElementsAre("*"));
}

TEST(NamePatternTest, SoManyPatternsAsAllowedMatchEveryName) {
  std::mt19937_64 random(testing::Seed());
  for (int round = 0; round < 200; ++round) {
    std::set<std::string> names;
    const size_t count = 1 + random() % 300;
    while (names.size() < count) names.insert("n" + RandomText(random, "abcdef.", 12));
    const size_t limit = 1 + random() % 100;
    const std::vector<std::string> patterns = PatternsFor(names, limit);
    ASSERT_LE(patterns.size(), limit);
    for (const std::string& name : names) ASSERT_TRUE(NameMatchesAny(name, patterns)) << name;
  }
}

}  // namespace
}  // namespace pylabhub
