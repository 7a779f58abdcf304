// What `pylabhub top` and `stats` show of each channel, and in which order. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "client/cli/rates.h"
#include "client/cli/table.h"
#include "shm/metrics.h"

namespace pylabhub::cli {

struct ChannelRow {
  std::string channel = {};
  std::string producer =
      {};  // "alive", "closed", "dead"; of memory out of reach what the broker says: "ready"
  int64_t pid = 0;
  uint32_t consumers = 0;
  // All below are known only if this is empty; else it says why they are not.
  std::string no_counters = {};
  uint64_t committed_slots = 0;
  double slots_per_second = 0;
  double bytes_per_second = 0;
  uint64_t lag = 0;
  uint64_t missed_slots = 0;
  double missed_slots_per_second = 0;
  double blocked_fraction = 0;
};

ChannelRow RowOf(const std::string& channel, const shm::ChannelMetrics& metrics, const Rates& rates);

enum class SortKey { kName, kSlots, kBytes, kLag, kMissed, kConsumers };

// "name" for kName and so on.
const char* NameOf(SortKey key);
// n, s, b, l, m, c: the first letters of the names. Nothing for any other key.
std::optional<SortKey> SortKeyOf(char letter);

// By name ascending, else the largest first, and equal ones by name.
void Sort(SortKey key, std::vector<ChannelRow>& rows);

Table RowsTable(const std::vector<ChannelRow>& rows);

// Why there is no more of some: a line for each reason, with the channels that have it. "-: a, b: its memory has no name"
std::vector<std::string> WhyNoCounters(const std::vector<ChannelRow>& rows);

// "3 channels, 12.3k slots/s, 4.5 MB/s, missed 0/s": of all of them.
std::string SummaryOf(const std::vector<ChannelRow>& rows);

}  // namespace pylabhub::cli
