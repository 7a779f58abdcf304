#include "client/cli/channel_look.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "client/channel.h"
#include "shm/channel_directory.h"

namespace pylabhub::cli {
namespace {

constexpr absl::Duration kListTimeout = absl::Seconds(10);
constexpr char kWhere[] = "; `pylabhub channels` lists those that there are";

absl::StatusOr<shm::ChannelMetrics> MetricsOf(const Channel& entry, const std::string& directory) {
  if (entry.spec.memory != MemoryKind::kNamed) {
    return absl::FailedPreconditionError(
        "its memory has no name: the broker hands it to its participants, and they alone see what it counts; "
        "of a "
        "channel that is published with --memory named anybody on its host does");
  }
  if (!SharesMemoryWithThisProcess(entry)) {
    return absl::FailedPreconditionError(
        absl::StrCat("its memory is on host '", entry.spec.process.host, "'; run this there"));
  }
  absl::StatusOr<shm::ChannelMetrics> metrics = shm::ReadMetrics(entry.spec.name, directory);
  if (metrics.ok() && metrics->segment_id.bytes != entry.spec.segment_id) {
    return absl::UnavailableError(absl::StrCat("the channel of this name in ", directory,
                                               " is another one than the broker's, or is being replaced"));
  }
  return metrics;
}

ChannelLook LookAt(Channel entry, const std::string& directory) {
  ChannelLook look{.channel = entry.spec.name};
  absl::StatusOr<shm::ChannelMetrics> metrics = MetricsOf(entry, directory);
  look.memory = metrics.status();
  if (metrics.ok()) look.metrics = *std::move(metrics);
  look.entry = std::move(entry);
  return look;
}

ChannelLook LookByName(const std::string& channel, const std::string& directory) {
  ChannelLook look{.channel = channel};
  absl::StatusOr<shm::ChannelMetrics> metrics = shm::ReadMetrics(channel, directory);
  look.memory = metrics.status();
  if (metrics.ok()) look.metrics = *std::move(metrics);
  return look;
}

}  // namespace

absl::StatusOr<ChannelLook> LookAt(const std::string& channel, const std::string& directory,
                                   Messenger* messenger) {
  if (absl::Status status = shm::ValidateChannelName(channel); !status.ok()) return status;
  if (messenger == nullptr) {
    ChannelLook look = LookByName(channel, directory);
    if (absl::IsNotFound(look.memory)) {
      return absl::NotFoundError(absl::StrCat("there is no channel '", channel, "' in ", directory, kWhere));
    }
    if (!look.memory.ok()) return look.memory;
    return look;
  }
  // Not Discover, which tells of channels alone that are ready.
  absl::StatusOr<std::vector<Channel>> entries = messenger->ListChannels(channel, kListTimeout);
  if (!entries.ok()) return entries.status();
  for (Channel& entry : *entries) {
    if (entry.spec.name == channel) return LookAt(std::move(entry), directory);
  }
  return absl::NotFoundError(absl::StrCat("the broker knows no channel '", channel, "'", kWhere));
}

absl::StatusOr<std::vector<ChannelLook>> LookAtAll(const std::string& directory, Messenger* messenger) {
  std::vector<ChannelLook> looks;
  if (messenger != nullptr) {
    absl::StatusOr<std::vector<Channel>> entries = messenger->ListChannels("", kListTimeout);
    if (!entries.ok()) return entries.status();
    for (Channel& entry : *entries) looks.push_back(LookAt(std::move(entry), directory));
    return looks;
  }
  const absl::StatusOr<std::vector<shm::NamedChannel>> channels = shm::ListNamedChannels(directory);
  if (!channels.ok()) return channels.status();
  for (const shm::NamedChannel& channel : *channels) {
    ChannelLook look = LookByName(channel.channel, directory);
    // It may have gone since it was listed.
    if (!absl::IsNotFound(look.memory)) looks.push_back(std::move(look));
  }
  return looks;
}

const char* NameOf(ChannelState state) {
  switch (state) {
    case ChannelState::kPending:
      return "pending";
    case ChannelState::kReady:
      return "ready";
    case ChannelState::kClosing:
      return "closing";
    case ChannelState::kUnknown:
      break;
  }
  return "unknown";
}

}  // namespace pylabhub::cli
