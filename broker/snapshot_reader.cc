#include "broker/snapshot_reader.h"

#include <algorithm>
#include <utility>

#include "absl/time/time.h"
#include "broker/channel_registry.h"
#include "proto/names/name_pattern.h"

namespace pylabhub::broker {
namespace {

// Under the lock at once: some tens of microseconds.
constexpr size_t kChannelsPerPiece = 256;

bool NamesChannels(const WatchFilter& filter) {
  return !filter.name_patterns.empty() &&
         std::all_of(filter.name_patterns.begin(), filter.name_patterns.end(),
                     [](const std::string& pattern) { return names::IsExactPattern(pattern); });
}

}  // namespace

SnapshotReader::SnapshotReader(Directory& directory, const WatchFilter& filter, uint64_t revision)
    : directory_(directory),
      filter_(filter),
      revision_(revision),
      by_name_(NamesChannels(filter)),
      told_revision_(revision) {}

std::vector<ChannelView> SnapshotReader::Read() {
  std::vector<ChannelView> channels = by_name_ ? ReadByName() : ReadInOrder();
  for (const ChannelView& channel : channels) {
    if (channel.revision <= revision_) continue;
    later_.emplace(channel.spec->name, channel.revision);
    told_revision_ = std::max(told_revision_, channel.revision);
  }
  return channels;
}

std::vector<ChannelView> SnapshotReader::ReadByName() {
  std::vector<ChannelView> channels;
  directory_.Run([&](ChannelRegistry& registry, absl::Time now) {
    for (; next_pattern_ < filter_.name_patterns.size(); ++next_pattern_) {
      const std::string& name = filter_.name_patterns[next_pattern_];
      if (!MaySee(filter_, name)) continue;
      // Of the names that begin so, the name itself is the first.
      ChannelPage page = registry.List({.name_prefix = name, .page_size = 1}, now);
      if (page.channels.empty() || page.channels[0].spec->name != name) continue;
      channels.push_back(std::move(page.channels[0]));
    }
    return 0;
  });
  at_end_ = true;
  return channels;
}

std::vector<ChannelView> SnapshotReader::ReadInOrder() {
  ChannelPage page = directory_.Run([&](ChannelRegistry& registry, absl::Time now) {
    return registry.List({.after_name = after_name_, .page_size = kChannelsPerPiece}, now);
  });
  at_end_ = !page.has_more;
  if (!page.last_name.empty()) after_name_ = page.last_name;
  std::erase_if(page.channels,
                [this](const ChannelView& channel) { return !MatchesName(filter_, channel.spec->name); });
  return std::move(page.channels);
}

bool SnapshotReader::IsTold(const Event& event) const {
  const auto found = later_.find(event.channel.spec->name);
  return found != later_.end() && event.revision <= found->second;
}

}  // namespace pylabhub::broker
