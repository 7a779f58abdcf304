#include "client/cli/channel_rows.h"

#include <gtest/gtest.h>

namespace pylabhub::cli {
namespace {

std::vector<ChannelRow> Rows() {
  return {{.channel = "b",
           .producer = "alive",
           .pid = 2,
           .consumers = 1,
           .slots_per_second = 10,
           .bytes_per_second = 5e6,
           .lag = 3,
           .missed_slots = 8,
           .missed_slots_per_second = 2,
           .blocked_fraction = 0.5},
          {.channel = "a",
           .producer = "dead",
           .pid = 1,
           .consumers = 2,
           .slots_per_second = 10,
           .bytes_per_second = 20,
           .lag = 4},
          {.channel = "c", .producer = "ready", .pid = 3, .consumers = 7, .no_counters = "it is far away"}};
}

std::string Names(SortKey key) {
  std::vector<ChannelRow> rows = Rows();
  Sort(key, rows);
  std::string names;
  for (const ChannelRow& row : rows) names += row.channel;
  return names;
}

TEST(ChannelRowsTest, TheLargestComesFirstAndEqualOnesByName) {
  EXPECT_EQ(Names(SortKey::kName), "abc");
  EXPECT_EQ(Names(SortKey::kSlots), "abc");
  EXPECT_EQ(Names(SortKey::kBytes), "bac");
  EXPECT_EQ(Names(SortKey::kLag), "abc");
  EXPECT_EQ(Names(SortKey::kMissed), "bac");
  EXPECT_EQ(Names(SortKey::kConsumers), "cab");
}

TEST(ChannelRowsTest, TheFirstLetterOfEachNameIsItsKey) {
  EXPECT_EQ(SortKeyOf('l'), SortKey::kLag);
  EXPECT_EQ(SortKeyOf('c'), SortKey::kConsumers);
  EXPECT_EQ(SortKeyOf('q'), std::nullopt);
  EXPECT_EQ(SortKeyOf('\0'), std::nullopt);
}

TEST(ChannelRowsTest, WhatIsNotKnownIsNotShownAsZero) {
  const std::vector<std::string> lines = RowsTable(Rows()).Lines();
  ASSERT_EQ(lines.size(), 4U);
  EXPECT_NE(lines[1].find("50%"), std::string::npos);
  EXPECT_NE(lines[3].find(" -  "), std::string::npos);
}

TEST(ChannelRowsTest, WhyThereAreNoCountersIsSaidOnceForAllThatHaveNone) {
  std::vector<ChannelRow> rows = Rows();
  EXPECT_EQ(WhyNoCounters(rows), std::vector<std::string>{"-: c: it is far away"});
  rows.push_back({.channel = "d", .no_counters = "it has no name"});
  rows.push_back({.channel = "e", .no_counters = "it is far away"});
  EXPECT_EQ(WhyNoCounters(rows),
            (std::vector<std::string>{"-: d: it has no name", "-: c, e: it is far away"}));
}

TEST(ChannelRowsTest, TheSummaryIsTheSumOfAllChannels) {
  EXPECT_EQ(SummaryOf(Rows()), "3 channels, 20.0 slots/s, 5.00 MB/s, missed 2.00/s");
  EXPECT_EQ(SummaryOf({{.channel = "a"}}), "1 channel, 0 slots/s, 0 B/s, missed 0/s");
}

}  // namespace
}  // namespace pylabhub::cli
