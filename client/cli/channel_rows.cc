#include "client/cli/channel_rows.h"

#include <algorithm>
#include <array>
#include <map>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/cli/metrics_json.h"
#include "client/cli/quantity.h"

namespace pylabhub::cli {
namespace {

constexpr std::array kKeys = {SortKey::kName, SortKey::kSlots,  SortKey::kBytes,
                              SortKey::kLag,  SortKey::kMissed, SortKey::kConsumers};

double SizeOf(SortKey key, const ChannelRow& row) {
  switch (key) {
    case SortKey::kName:
      return 0;
    case SortKey::kSlots:
      return row.slots_per_second;
    case SortKey::kBytes:
      return row.bytes_per_second;
    case SortKey::kLag:
      return static_cast<double>(row.lag);
    case SortKey::kMissed:
      return row.missed_slots_per_second;
    case SortKey::kConsumers:
      return row.consumers;
  }
  return 0;
}

}  // namespace

ChannelRow RowOf(const std::string& channel, const shm::ChannelMetrics& metrics, const Rates& rates) {
  return {.channel = channel,
          .producer = NameOf(metrics.producer_state),
          .pid = metrics.producer_pid,
          .consumers = CountAlive(metrics),
          .committed_slots = metrics.producer.committed_slots,
          .slots_per_second = rates.slots_per_second,
          .bytes_per_second = rates.bytes_per_second,
          .lag = LargestLag(metrics),
          .missed_slots = MissedSlots(metrics),
          .missed_slots_per_second = rates.missed_slots_per_second,
          .blocked_fraction = rates.blocked_fraction};
}

const char* NameOf(SortKey key) {
  switch (key) {
    case SortKey::kName:
      return "name";
    case SortKey::kSlots:
      return "slots";
    case SortKey::kBytes:
      return "bytes";
    case SortKey::kLag:
      return "lag";
    case SortKey::kMissed:
      return "missed";
    case SortKey::kConsumers:
      return "consumers";
  }
  return "";
}

std::optional<SortKey> SortKeyOf(char letter) {
  for (const SortKey key : kKeys) {
    if (*NameOf(key) == letter) return key;
  }
  return std::nullopt;
}

void Sort(SortKey key, std::vector<ChannelRow>& rows) {
  std::sort(rows.begin(), rows.end(), [key](const ChannelRow& a, const ChannelRow& b) {
    return std::tuple(-SizeOf(key, a), a.channel) < std::tuple(-SizeOf(key, b), b.channel);
  });
}

Table RowsTable(const std::vector<ChannelRow>& rows) {
  Table table({{"CHANNEL"},
               {"PRODUCER"},
               {"PID", Align::kRight},
               {"SLOTS", Align::kRight},
               {"SLOTS/S", Align::kRight},
               {"BYTES/S", Align::kRight},
               {"CONSUMERS", Align::kRight},
               {"LAG", Align::kRight},
               {"MISSED", Align::kRight},
               {"MISSED/S", Align::kRight},
               {"BLOCKED", Align::kRight}});
  for (const ChannelRow& row : rows) {
    const std::string pid = absl::StrCat(row.pid);
    const std::string consumers = absl::StrCat(row.consumers);
    if (!row.no_counters.empty()) {
      table.AddRow({row.channel, row.producer, pid, "-", "-", "-", consumers, "-", "-", "-", "-"});
      continue;
    }
    table.AddRow(
        {row.channel, row.producer, pid, absl::StrCat(row.committed_slots), RateText(row.slots_per_second),
         ByteRateText(row.bytes_per_second), consumers, absl::StrCat(row.lag), absl::StrCat(row.missed_slots),
         RateText(row.missed_slots_per_second), absl::StrFormat("%.0f%%", 100 * row.blocked_fraction)});
  }
  return table;
}

std::vector<std::string> WhyNoCounters(const std::vector<ChannelRow>& rows) {
  std::map<std::string, std::vector<std::string>> channels;
  for (const ChannelRow& row : rows) {
    if (!row.no_counters.empty()) channels[row.no_counters].push_back(row.channel);
  }
  std::vector<std::string> lines;
  for (const auto& [reason, names] : channels) {
    lines.push_back(absl::StrCat("-: ", absl::StrJoin(names, ", "), ": ", reason));
  }
  return lines;
}

std::string SummaryOf(const std::vector<ChannelRow>& rows) {
  double slots = 0;
  double bytes = 0;
  double missed = 0;
  for (const ChannelRow& row : rows) {
    slots += row.slots_per_second;
    bytes += row.bytes_per_second;
    missed += row.missed_slots_per_second;
  }
  return absl::StrCat(rows.size(), rows.size() == 1 ? " channel, " : " channels, ", RateText(slots),
                      " slots/s, ", ByteRateText(bytes), ", missed ", RateText(missed), "/s");
}

}  // namespace pylabhub::cli
