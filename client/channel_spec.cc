#include "client/channel_spec.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "shm/channel/channel_files.h"

namespace pylabhub {
namespace {

constexpr absl::string_view kSharedMemoryFolder = "/dev/shm";

std::string FileNameOf(const std::string& path) { return path.substr(path.rfind('/') + 1); }

SharedMemoryNames NamesOf(const shm::ChannelConfig& config, const shm::SegmentId& segment_id) {
  // The wire API names files of /dev/shm; a channel elsewhere is found by its own name.
  if (config.directory != kSharedMemoryFolder) return {};
  const shm::ChannelFiles files(config.directory, config.channel);
  return {.data_name = FileNameOf(files.DataPath(segment_id)),
          .control_name = FileNameOf(files.ControlPath(segment_id)),
          .anchor_name = FileNameOf(files.AnchorPath())};
}

}  // namespace

ChannelSpec SpecOf(const shm::ChannelConfig& config, const shm::SegmentId& segment_id, MemoryKind memory) {
  const bool latest = config.policy == shm::Policy::kLatestOnly;
  return {.name = config.channel,
          .schema_hash = shm::HashOf(config.schema),
          .schema_text = shm::CanonicalText(config.schema),
          .segment_id = segment_id.bytes,
          .memory = memory,
          .shared_memory = memory == MemoryKind::kNamed ? NamesOf(config, segment_id) : SharedMemoryNames(),
          .metadata = {{"capacity_slots", absl::StrCat(config.capacity_slots)},
                       {"slot_bytes", absl::StrCat(config.slot_bytes)},
                       {"overflow", shm::IsLossless(config.policy) ? "block" : "overwrite"},
                       {"read", latest ? "latest" : "next"},
                       {"policy", std::string(shm::NameOf(config.policy))},
                       {"schema_name", config.schema.name}}};
}

}  // namespace pylabhub
