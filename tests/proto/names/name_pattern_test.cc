#include "proto/names/name_pattern.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "tests/support/seed.h"

namespace pylabhub::names {
namespace {

// The obvious way: every way to spend the stars.
bool ModelMatches(absl::string_view pattern, absl::string_view text) {
  if (pattern.empty()) return text.empty();
  if (pattern[0] == '*') {
    return ModelMatches(pattern.substr(1), text) || (!text.empty() && ModelMatches(pattern, text.substr(1)));
  }
  return !text.empty() && (pattern[0] == '?' || pattern[0] == text[0]) &&
         ModelMatches(pattern.substr(1), text.substr(1));
}

std::string RandomText(std::mt19937_64& random, absl::string_view letters, size_t max_bytes) {
  std::string text(random() % (max_bytes + 1), ' ');
  for (char& c : text) c = letters[random() % letters.size()];
  return text;
}

// Every text of up to `max_bytes` of "abc".
std::vector<std::string> AllTexts(size_t max_bytes) {
  std::vector<std::string> texts = {""};
  for (size_t i = 0; i < texts.size(); ++i) {
    if (texts[i].size() == max_bytes) continue;
    for (const char c : {'a', 'b', 'c'}) texts.push_back(texts[i] + c);
  }
  return texts;
}

TEST(NamePatternTest, AStarStandsForAnyRunAndAQuestionMarkForOneCharacter) {
  EXPECT_TRUE(Matches("a.b", "a.b"));
  EXPECT_FALSE(Matches("a.b", "a.bc"));
  EXPECT_TRUE(Matches("*", ""));
  EXPECT_TRUE(Matches("sensor.*", "sensor."));
  EXPECT_TRUE(Matches("sensor.*", "sensor.a.b"));
  EXPECT_FALSE(Matches("sensor.*", "sensors"));
  EXPECT_TRUE(Matches("*.raw", "cam.1.raw"));
  EXPECT_FALSE(Matches("*.raw", "cam.raw.1"));
  EXPECT_TRUE(Matches("a*b*c", "a-b-b-c"));
  EXPECT_FALSE(Matches("a*b*c", "a-c-b"));
  EXPECT_TRUE(Matches("?.?", "a.b"));
  EXPECT_FALSE(Matches("?", ""));
  EXPECT_TRUE(Matches("**?", "x"));
  EXPECT_TRUE(Matches("spiffe://lab/*", "spiffe://lab/camera/left"));
  EXPECT_FALSE(Matches("spiffe://lab/*", "spiffe://laboratory/camera"));
}

TEST(NamePatternTest, ItAgreesWithTheObviousWay) {
  std::mt19937_64 random(testing::Seed());
  int matches = 0;
  for (int i = 0; i < 50'000; ++i) {
    const std::string pattern = RandomText(random, "ab*?", 6);
    const std::string text = RandomText(random, "ab", 8);
    const bool expected = ModelMatches(pattern, text);
    ASSERT_EQ(Matches(pattern, text), expected) << pattern << " " << text;
    matches += expected ? 1 : 0;
  }
  EXPECT_GT(matches, 1000);
}

TEST(NamePatternTest, AnExactPatternMatchesItselfAlone) {
  EXPECT_TRUE(IsExactPattern("camera.left"));
  EXPECT_FALSE(IsExactPattern("camera.*"));
  EXPECT_FALSE(IsExactPattern("camera.?"));
}

TEST(NamePatternTest, APatternOfNamesIsOneOfNamesCharactersAndWildcards) {
  for (const char* good : {"a", "*", "sensor.?", "0-9_.*"}) EXPECT_TRUE(IsNamePattern(good)) << good;
  for (const char* bad : {"", "A", "a b", "sensor/*", "s[ab]"}) EXPECT_FALSE(IsNamePattern(bad)) << bad;
  EXPECT_TRUE(IsNamePattern(std::string(128, '*')));
  EXPECT_FALSE(IsNamePattern(std::string(129, '*')));
}

TEST(NamePatternTest, WhatOnePatternMatchesAnotherCovers) {
  EXPECT_TRUE(Covers("*", "camera.*"));
  EXPECT_TRUE(Covers("camera.*", "camera.left"));
  EXPECT_TRUE(Covers("camera.*", "camera.*.raw"));
  EXPECT_TRUE(Covers("?*", "*?"));
  EXPECT_TRUE(Covers("*", "**"));
  EXPECT_TRUE(Covers("camera.?", "camera.?"));
  EXPECT_FALSE(Covers("camera.?", "camera.*"));
  EXPECT_FALSE(Covers("camera.left", "camera.?"));
  EXPECT_FALSE(Covers("camera.left", "camera.right"));
  EXPECT_FALSE(Covers("camera.*", "*"));
}

TEST(NamePatternTest, APatternThatIsSaidToCoverAnotherMatchesEverythingThatItDoes) {
  std::mt19937_64 random(testing::Seed());
  const std::vector<std::string> texts = AllTexts(5);
  int covering = 0;
  for (int i = 0; i < 20'000; ++i) {
    const std::string wider = RandomText(random, "ab*?", 4);
    const std::string narrower = RandomText(random, "ab*?", 4);
    if (!Covers(wider, narrower)) continue;
    ++covering;
    for (const std::string& text : texts) {
      ASSERT_TRUE(Matches(wider, text) || !Matches(narrower, text))
          << wider << " covers " << narrower << " but for " << text;
    }
  }
  EXPECT_GT(covering, 1000);
}

}  // namespace
}  // namespace pylabhub::names
