#include "shm/channel/sealed_segment.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "shm/os/kernel_lock.h"
#include "shm/os/memfd.h"

namespace pylabhub::shm {
namespace {

constexpr absl::string_view kDataName = "the data descriptor";
constexpr absl::string_view kControlName = "the control descriptor";

absl::Status Named(absl::string_view name, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(name, ": ", status.message()));
}

absl::StatusOr<Mapping> ReserveSealed(UniqueFd memfd, size_t bytes, Writers writers) {
  absl::StatusOr<Mapping> mapping = Mapping::Reserve(std::move(memfd), bytes);
  if (!mapping.ok()) return mapping;
  if (absl::Status status = Seal(mapping->fd(), writers); !status.ok()) return status;
  return mapping;
}

absl::StatusOr<Mapping> CreateData(const ChannelConfig& config) {
  absl::StatusOr<UniqueFd> memfd = CreateMemfd(absl::StrCat("pylabhub.", config.channel, ".data"));
  if (!memfd.ok()) return memfd.status();
  const absl::StatusOr<bool> locked = TryLockByte(memfd->get(), kProducerLockByte);
  if (!locked.ok()) return locked.status();
  return ReserveSealed(*std::move(memfd), DataFileBytes(config), Writers::kCreatorAlone);
}

absl::StatusOr<Mapping> CreateControl(const ChannelConfig& config) {
  absl::StatusOr<UniqueFd> memfd = CreateMemfd(absl::StrCat("pylabhub.", config.channel, ".control"));
  if (!memfd.ok()) return memfd.status();
  return ReserveSealed(*std::move(memfd), ControlFileBytes(ControlShape::Of(config)), Writers::kEverybody);
}

absl::StatusOr<Mapping> MapSealed(const UniqueFd& descriptor, Writers writers, Access access,
                                  absl::string_view name) {
  absl::StatusOr<UniqueFd> fd = ReopenSealed(descriptor.get(), writers, access);
  if (!fd.ok()) return Named(name, fd.status());
  absl::StatusOr<Mapping> mapping = Mapping::Of(*std::move(fd), access);
  if (!mapping.ok()) return Named(name, mapping.status());
  return mapping;
}

}  // namespace

absl::StatusOr<SealedSegment> CreateSealedSegment(const ChannelConfig& config, const SegmentId& segment_id,
                                                  const SegmentId& predecessor_id) {
  absl::StatusOr<Mapping> data = CreateData(config);
  if (!data.ok()) return data.status();
  absl::StatusOr<Mapping> control = CreateControl(config);
  if (!control.ok()) return control.status();
  absl::StatusOr<UniqueFd> data_fd = ReopenSealed(data->fd(), Writers::kCreatorAlone, Access::kReadOnly);
  if (!data_fd.ok()) return data_fd.status();
  absl::StatusOr<UniqueFd> control_fd = ReopenSealed(control->fd(), Writers::kEverybody, Access::kReadWrite);
  if (!control_fd.ok()) return control_fd.status();

  absl::StatusOr<CreatedSegment> segment =
      BuildSegment(*std::move(data), *std::move(control), config, segment_id, predecessor_id);
  if (!segment.ok()) return segment.status();
  return SealedSegment{*std::move(segment), {*std::move(data_fd), *std::move(control_fd)}};
}

absl::StatusOr<OpenedSegment> OpenSealedSegment(const SegmentDescriptors& descriptors,
                                                Access control_access) {
  absl::StatusOr<Mapping> data =
      MapSealed(descriptors.data, Writers::kCreatorAlone, Access::kReadOnly, kDataName);
  if (!data.ok()) return data.status();
  absl::StatusOr<Mapping> control =
      MapSealed(descriptors.control, Writers::kEverybody, control_access, kControlName);
  if (!control.ok()) return control.status();
  absl::StatusOr<OpenedSegment> segment =
      ViewSegment(*std::move(data), *std::move(control), kDataName, kControlName);
  // It has no files.
  if (segment.ok()) segment->data_view.config.directory.clear();
  return segment;
}

}  // namespace pylabhub::shm
