#include "shm/channel/predecessors.h"

#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "shm/channel/sealed_segment.h"

namespace pylabhub::shm {

absl::StatusOr<std::vector<OpenedSegment>> OpenPredecessors(const ChannelConfig& config,
                                                            std::span<const SegmentDescriptors> descriptors) {
  std::vector<OpenedSegment> chain;
  for (const SegmentDescriptors& predecessor : descriptors) {
    absl::StatusOr<OpenedSegment> segment = OpenSealedSegment(predecessor);
    if (!segment.ok()) return segment.status();
    const DataView& view = segment->data_view;
    const bool follows = chain.empty() || view.predecessor_id == chain.back().data_view.segment_id;
    if (view.config.channel != config.channel || !follows) {
      return absl::InvalidArgumentError(
          absl::StrCat("channel '", config.channel, "': predecessor ", chain.size(), " is segment ",
                       view.segment_id.ToHex(), " of channel '", view.config.channel,
                       "', which does not follow the one before; pass one channel's segments, oldest first"));
    }
    if (segment->ProducerLives()) {
      return absl::AlreadyExistsError(absl::StrCat("channel '", config.channel,
                                                   "' has a live producer (process ", view.producer_pid,
                                                   "); close it first"));
    }
    chain.push_back(*std::move(segment));
  }
  return chain;
}

absl::StatusOr<OpenedSegment> OpenWithParts(const SegmentDescriptors& descriptors,
                                            const std::vector<bool>& wanted) {
  absl::StatusOr<UniqueFd> data = DuplicateDescriptor(descriptors.data);
  if (!data.ok()) return data.status();
  absl::StatusOr<UniqueFd> bell = DuplicateDescriptor(descriptors.bell);
  if (!bell.ok()) return bell.status();
  SegmentDescriptors some{*std::move(data), *std::move(bell), {}};
  some.parts.resize(wanted.size());
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (!wanted[i]) continue;
    absl::StatusOr<UniqueFd> part = DuplicateDescriptor(descriptors.parts[i]);
    if (!part.ok()) return part.status();
    some.parts[i] = *std::move(part);
  }
  return OpenSealedSegment(some);
}

}  // namespace pylabhub::shm
