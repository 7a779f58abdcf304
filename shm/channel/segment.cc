#include "shm/channel/segment.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "shm/os/crash_point.h"
#include "shm/os/kernel_lock.h"
#include "shm/part_plan.h"
#include "shm/ring/group_claims.h"

namespace pylabhub::shm {
namespace {

absl::Status Named(absl::string_view name, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(name, ": ", status.message()));
}

absl::Status NotTogether(absl::string_view data_name) {
  return absl::FailedPreconditionError(
      absl::StrCat(data_name, ": its data and control files do not belong together"));
}

bool IsPart(const ControlShape& shape, const ChannelConfig& config, const PartPlan& part) {
  return shape == ControlShape::OfPart(config, part, shape.renewals);
}

// True if a part of this shape is one of the channel's.
bool IsPartOf(const ControlShape& shape, const ChannelConfig& config, bool handed_over) {
  if (!handed_over) return shape == ControlShape::Of(config);
  const std::vector<PartPlan> plan = PlanParts(config);
  return std::any_of(plan.begin(), plan.end(),
                     [&](const PartPlan& part) { return IsPart(shape, config, part); });
}

// Of parts that are known by their indices: those that are sound.
void AddSoundPart(OpenedSegment& segment, const std::vector<PartPlan>& plan, FoundPart& found) {
  const absl::StatusOr<ControlView> view = ViewControl(found.memory.bytes());
  const bool sound = view.ok() && *found.index < plan.size() &&
                     view->segment_id == segment.data_view.segment_id &&
                     IsPart(view->shape, segment.data_view.config, plan[*found.index]);
  if (sound) segment.control.parts.push_back({std::move(found.memory), *view});
}

}  // namespace

int64_t ControlPart::LockByteOf(uint32_t place) const {
  return kFirstConsumerLockByte + (place - view.first_place());
}

bool ControlPart::ConsumerLives(uint32_t place) const { return ByteIsLocked(memory.fd(), LockByteOf(place)); }

const ControlPart* Control::PartOf(uint32_t place) const {
  const auto after = std::upper_bound(
      parts.begin(), parts.end(), place,
      [](uint32_t wanted, const ControlPart& part) { return wanted < part.view.first_place(); });
  if (after == parts.begin()) return nullptr;
  const ControlPart& part = *std::prev(after);
  return part.view.has_place(place) ? &part : nullptr;
}

const ControlPart* Control::PartOfGroup(uint32_t index) const {
  const auto found = std::find_if(parts.begin(), parts.end(),
                                  [=](const ControlPart& part) { return part.view.has_group(index); });
  return found == parts.end() ? nullptr : &*found;
}

bool Control::ConsumerLives(uint32_t place) const {
  const ControlPart* const part = PartOf(place);
  return part != nullptr && part->ConsumerLives(place);
}

std::atomic<uint64_t>& Control::bell_word() const {
  if (!handed_over()) return parts.front().view.header->membership_changes;
  return *reinterpret_cast<std::atomic<uint64_t>*>(bell.base());
}

size_t Control::bytes() const {
  size_t bytes = bell.bytes().size();
  for (const ControlPart& part : parts) bytes += part.memory.bytes().size();
  return bytes;
}

DataSegment BuildSegmentData(const Mapping& data, const ChannelConfig& config, const SegmentId& segment_id,
                             const SegmentId& predecessor_id, uint32_t place_count) {
  const DataSegment built = BuildData(data.bytes(), config, segment_id, predecessor_id, place_count);
  PYLABHUB_CRASH_POINT("segment.create.data_built");
  return built;
}

absl::StatusOr<ControlPart> BuildPart(Mapping memory, const ControlShape& shape,
                                      const SegmentId& segment_id) {
  ControlPart part;
  part.view = BuildControl(memory.bytes(), shape, segment_id);
  PYLABHUB_CRASH_POINT("segment.create.control_built");
  if (absl::Status status = memory.MakeReadOnly(); !status.ok()) return status;
  PYLABHUB_CRASH_POINT("segment.create.control_protected");
  part.memory = std::move(memory);
  return part;
}

bool OpenedSegment::ProducerLives() const { return ByteIsLocked(data.fd(), kProducerLockByte); }

uint64_t OpenedSegment::CountUndone(uint32_t group) const {
  const ControlPart* const part = control.PartOfGroup(group);
  return part == nullptr ? 0 : shm::CountUndone(data_view, part->view, group);
}

bool OpenedSegment::IsDrained() const {
  for (uint32_t group = 0; group < data_view.config.groups.size(); ++group) {
    if (CountUndone(group) != 0) return false;
  }
  return true;
}

uint32_t OpenedSegment::CountLivingConsumers() const {
  uint32_t count = 0;
  for (const ControlPart& part : control.parts) {
    for (uint32_t place = part.view.first_place(); place < part.view.end_place(); ++place)
      count += part.ConsumerLives(place) ? 1 : 0;
  }
  return count;
}

absl::StatusOr<OpenedSegment> ViewSegment(Mapping data, absl::string_view data_name,
                                          std::vector<FoundPart> parts, Mapping bell) {
  absl::StatusOr<DataView> data_view = ViewData(data.bytes());
  if (!data_view.ok()) return Named(data_name, data_view.status());
  OpenedSegment segment{std::move(data), {}, *std::move(data_view)};
  segment.control.bell = std::move(bell);
  const bool handed_over = segment.control.handed_over();
  const std::vector<PartPlan> plan = PlanParts(segment.data_view.config);
  for (FoundPart& found : parts) {
    if (found.index.has_value()) {
      AddSoundPart(segment, plan, found);
      continue;
    }
    absl::StatusOr<ControlView> view = ViewControl(found.memory.bytes());
    if (!view.ok()) return Named(found.name, view.status());
    if (segment.data_view.segment_id != view->segment_id ||
        !IsPartOf(view->shape, segment.data_view.config, handed_over)) {
      return NotTogether(data_name);
    }
    segment.control.parts.push_back({std::move(found.memory), *view});
  }
  const uint32_t places = handed_over ? CountPlaces(plan) : segment.data_view.config.max_consumers;
  if (segment.data_view.geometry.place_count != places) {
    return absl::FailedPreconditionError(
        absl::StrCat(data_name, ": it has places for control of another kind"));
  }
  return segment;
}

}  // namespace pylabhub::shm
