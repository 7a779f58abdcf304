#include "shm/channel/named_segment.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "shm/os/crash_point.h"
#include "shm/os/kernel_lock.h"

namespace pylabhub::shm {
namespace {

absl::Status WithPath(const absl::Status& status, const std::string& path) {
  return absl::Status(status.code(), absl::StrCat(path, ": ", status.message()));
}

absl::StatusOr<Mapping> MapFile(const std::string& path, Access access) {
  absl::StatusOr<UniqueFd> fd = OpenChannelFile(path, access);
  if (!fd.ok()) return fd.status();
  absl::StatusOr<Mapping> mapping = Mapping::Of(*std::move(fd), access);
  if (!mapping.ok()) return WithPath(mapping.status(), path);
  return mapping;
}

absl::StatusOr<Mapping> CreateData(const ChannelFiles& files, const ChannelConfig& config,
                                   const SegmentId& segment_id) {
  const std::string path = files.DataPath(segment_id);
  absl::StatusOr<UniqueFd> fd = CreateChannelFile(
      path, config.unix_group.has_value() ? kGroupReadMode : kPrivateMode, config.unix_group);
  if (!fd.ok()) return fd.status();
  // Before anything else: a segment without a holder of this lock is an orphan, and free to be removed.
  const absl::StatusOr<bool> locked = TryLockByte(fd->get(), kProducerLockByte);
  if (!locked.ok()) return locked.status();
  if (!*locked) return absl::UnavailableError(absl::StrCat(path, ": another process holds its lock already"));
  PYLABHUB_CRASH_POINT("segment.create.data_locked");
  absl::StatusOr<Mapping> mapping = Mapping::Reserve(*std::move(fd), DataFileBytes(config));
  if (!mapping.ok()) return WithPath(mapping.status(), path);
  return mapping;
}

absl::StatusOr<Mapping> CreateControl(const ChannelFiles& files, const ChannelConfig& config,
                                      const SegmentId& segment_id) {
  const std::string path = files.ControlPath(segment_id);
  absl::StatusOr<UniqueFd> fd = CreateChannelFile(
      path, config.unix_group.has_value() ? kGroupWriteMode : kPrivateMode, config.unix_group);
  if (!fd.ok()) return fd.status();
  absl::StatusOr<Mapping> mapping =
      Mapping::Reserve(*std::move(fd), ControlFileBytes(ControlShape::Of(config)));
  if (!mapping.ok()) return WithPath(mapping.status(), path);
  return mapping;
}

}  // namespace

absl::StatusOr<CreatedSegment> CreateNamedSegment(const ChannelFiles& files, const ChannelConfig& config,
                                                  const SegmentId& segment_id,
                                                  const SegmentId& predecessor_id) {
  absl::Cleanup remove = [&] { files.RemoveSegment(segment_id); };
  absl::StatusOr<Mapping> data = CreateData(files, config, segment_id);
  if (!data.ok()) return data.status();
  PYLABHUB_CRASH_POINT("segment.create.data_reserved");
  absl::StatusOr<Mapping> control = CreateControl(files, config, segment_id);
  if (!control.ok()) return control.status();

  PYLABHUB_CRASH_POINT("segment.create.control_reserved");
  CreatedSegment created;
  created.data_segment = BuildSegmentData(*data, config, segment_id, predecessor_id, config.max_consumers);
  absl::StatusOr<ControlPart> part = BuildPart(*std::move(control), ControlShape::Of(config), segment_id);
  if (!part.ok()) return part.status();
  created.data = *std::move(data);
  created.control.parts.push_back(*std::move(part));
  std::move(remove).Cancel();
  return created;
}

absl::StatusOr<OpenedSegment> OpenNamedSegment(const ChannelFiles& files, const SegmentId& segment_id,
                                               Access control_access) {
  absl::StatusOr<Mapping> data = MapFile(files.DataPath(segment_id), Access::kReadOnly);
  if (!data.ok()) return data.status();
  absl::StatusOr<Mapping> control = MapFile(files.ControlPath(segment_id), control_access);
  if (!control.ok()) return control.status();
  const std::string control_path = files.ControlPath(segment_id);
  std::vector<FoundPart> parts;
  parts.push_back({*std::move(control), control_path});
  absl::StatusOr<OpenedSegment> segment =
      ViewSegment(*std::move(data), files.DataPath(segment_id), std::move(parts), Mapping());
  if (!segment.ok()) return segment.status();
  ChannelConfig& config = segment->data_view.config;
  if (segment->data_view.segment_id != segment_id || config.channel != files.channel()) {
    return absl::FailedPreconditionError(
        absl::StrCat(files.DataPath(segment_id), ": it is not the segment that its name says"));
  }
  config.directory = files.directory();
  return segment;
}

}  // namespace pylabhub::shm
