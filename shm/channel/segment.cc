#include "shm/channel/segment.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "shm/os/crash_point.h"
#include "shm/os/kernel_lock.h"
#include "shm/ring/group_claims.h"

namespace pylabhub::shm {
namespace {

absl::Status Named(absl::string_view name, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(name, ": ", status.message()));
}

}  // namespace

absl::StatusOr<CreatedSegment> BuildSegment(Mapping data, Mapping control, const ChannelConfig& config,
                                            const SegmentId& segment_id, const SegmentId& predecessor_id) {
  CreatedSegment created;
  created.data_segment = BuildData(data.bytes(), config, segment_id, predecessor_id);
  PYLABHUB_CRASH_POINT("segment.create.data_built");
  created.control_view = BuildControl(control.bytes(), ControlShape::Of(config), segment_id);
  PYLABHUB_CRASH_POINT("segment.create.control_built");
  // From here on only consumers write it.
  if (absl::Status status = control.MakeReadOnly(); !status.ok()) return status;
  PYLABHUB_CRASH_POINT("segment.create.control_protected");
  created.data = std::move(data);
  created.control = std::move(control);
  return created;
}

bool OpenedSegment::ProducerLives() const { return ByteIsLocked(data.fd(), kProducerLockByte); }

bool OpenedSegment::ConsumerLives(uint32_t place) const {
  return ByteIsLocked(control.fd(), kFirstConsumerLockByte + place);
}

uint64_t OpenedSegment::CountUndone(uint32_t group) const {
  return shm::CountUndone(data_view, control_view, group);
}

bool OpenedSegment::IsDrained() const {
  for (uint32_t group = 0; group < control_view.shape.group_count; ++group) {
    if (CountUndone(group) != 0) return false;
  }
  return true;
}

uint32_t OpenedSegment::CountLivingConsumers() const {
  uint32_t count = 0;
  for (uint32_t place = 0; place < control_view.max_consumers(); ++place)
    count += ConsumerLives(place) ? 1 : 0;
  return count;
}

absl::StatusOr<OpenedSegment> ViewSegment(Mapping data, Mapping control, absl::string_view data_name,
                                          absl::string_view control_name) {
  absl::StatusOr<DataView> data_view = ViewData(data.bytes());
  if (!data_view.ok()) return Named(data_name, data_view.status());
  const absl::StatusOr<ControlView> control_view = ViewControl(control.bytes());
  if (!control_view.ok()) return Named(control_name, control_view.status());
  if (data_view->segment_id != control_view->segment_id ||
      ControlShape::Of(data_view->config) != control_view->shape) {
    return absl::FailedPreconditionError(
        absl::StrCat(data_name, ": its data and control files do not belong together"));
  }
  return OpenedSegment{std::move(data), std::move(control), *std::move(data_view), *control_view};
}

}  // namespace pylabhub::shm
