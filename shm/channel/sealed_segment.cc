#include "shm/channel/sealed_segment.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "shm/os/crash_point.h"
#include "shm/os/descriptor_limit.h"
#include "shm/os/kernel_lock.h"
#include "shm/os/memfd.h"

namespace pylabhub::shm {
namespace {

constexpr absl::string_view kDataName = "the data descriptor";
constexpr absl::string_view kBellName = "the bell's descriptor";
constexpr absl::string_view kPartName = "the part's descriptor";
// Each piece of memory has a descriptor to look at locks through, and one to hand over.
constexpr size_t kDescriptorsEach = 2;

absl::Status Named(absl::string_view name, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(name, ": ", status.message()));
}

absl::StatusOr<Mapping> ReserveSealed(UniqueFd memfd, size_t bytes, Writers writers) {
  absl::StatusOr<Mapping> mapping = Mapping::Reserve(std::move(memfd), bytes);
  if (!mapping.ok()) return mapping;
  if (absl::Status status = Seal(mapping->fd(), writers); !status.ok()) return status;
  return mapping;
}

absl::StatusOr<Mapping> CreateData(const ChannelConfig& config, uint32_t place_count) {
  absl::StatusOr<UniqueFd> memfd = CreateMemfd(absl::StrCat("pylabhub.", config.channel, ".data"));
  if (!memfd.ok()) return memfd.status();
  const absl::StatusOr<bool> locked = TryLockByte(memfd->get(), kProducerLockByte);
  if (!locked.ok()) return locked.status();
  return ReserveSealed(*std::move(memfd), DataFileBytes(config, place_count), Writers::kCreatorAlone);
}

absl::StatusOr<Mapping> CreateShared(const std::string& name, size_t bytes) {
  absl::StatusOr<UniqueFd> memfd = CreateMemfd(name);
  if (!memfd.ok()) return memfd.status();
  return ReserveSealed(*std::move(memfd), bytes, Writers::kEverybody);
}

absl::StatusOr<Mapping> MapSealed(const UniqueFd& descriptor, Writers writers, Access access,
                                  absl::string_view name) {
  absl::StatusOr<UniqueFd> fd = ReopenSealed(descriptor.get(), writers, access);
  if (!fd.ok()) return Named(name, fd.status());
  absl::StatusOr<Mapping> mapping = Mapping::Of(*std::move(fd), access);
  if (!mapping.ok()) return Named(name, mapping.status());
  return mapping;
}

// Nothing in it is looked at, since everybody may have written into it.
absl::StatusOr<Mapping> MapBell(const UniqueFd& descriptor, Access access) {
  absl::StatusOr<Mapping> bell = MapSealed(descriptor, Writers::kEverybody, access, kBellName);
  if (!bell.ok() || bell->bytes().size() == kBellBytes) return bell;
  return absl::FailedPreconditionError(
      absl::StrCat(kBellName, ": it has ", bell->bytes().size(), " bytes, not ", kBellBytes));
}

absl::StatusOr<OpenedSegment> View(Mapping data, std::vector<FoundPart> parts, Mapping bell) {
  absl::StatusOr<OpenedSegment> segment =
      ViewSegment(std::move(data), kDataName, std::move(parts), std::move(bell));
  // It has no files.
  if (segment.ok()) segment->data_view.config.directory.clear();
  return segment;
}

}  // namespace

absl::StatusOr<SealedPart> CreateSealedPart(const ChannelConfig& config, const PartPlan& plan,
                                            const SegmentId& segment_id, uint32_t renewals) {
  const ControlShape shape = ControlShape::OfPart(config, plan, renewals);
  absl::StatusOr<Mapping> memory = CreateShared(
      absl::StrCat("pylabhub.", config.channel, ".part", plan.first_place), ControlFileBytes(shape));
  if (!memory.ok()) return memory.status();
  PYLABHUB_CRASH_POINT("sealed.part.memory_made");
  absl::StatusOr<UniqueFd> descriptor = ReopenSealed(memory->fd(), Writers::kEverybody, Access::kReadWrite);
  if (!descriptor.ok()) return descriptor.status();
  absl::StatusOr<ControlPart> part = BuildPart(*std::move(memory), shape, segment_id);
  if (!part.ok()) return part.status();
  PYLABHUB_CRASH_POINT("sealed.part.built");
  return SealedPart{*std::move(part), *std::move(descriptor)};
}

absl::StatusOr<SealedSegment> CreateSealedSegment(const ChannelConfig& config, const SegmentId& segment_id,
                                                  const SegmentId& predecessor_id) {
  const std::vector<PartPlan> plan = PlanParts(config);
  const size_t descriptors = kDescriptorsEach * (plan.size() + 2);
  if (absl::Status status = MakeRoomForDescriptors(descriptors); !status.ok()) return status;
  const uint32_t place_count = CountPlaces(plan);
  SealedSegment sealed;
  absl::StatusOr<Mapping> data = CreateData(config, place_count);
  if (!data.ok()) return data.status();
  PYLABHUB_CRASH_POINT("sealed.create.data_made");
  absl::StatusOr<UniqueFd> data_fd = ReopenSealed(data->fd(), Writers::kCreatorAlone, Access::kReadOnly);
  if (!data_fd.ok()) return data_fd.status();
  absl::StatusOr<Mapping> bell = CreateShared(absl::StrCat("pylabhub.", config.channel, ".bell"), kBellBytes);
  if (!bell.ok()) return bell.status();
  absl::StatusOr<UniqueFd> bell_fd = ReopenSealed(bell->fd(), Writers::kEverybody, Access::kReadWrite);
  if (!bell_fd.ok()) return bell_fd.status();
  if (absl::Status status = bell->MakeReadOnly(); !status.ok()) return status;
  PYLABHUB_CRASH_POINT("sealed.create.bell_made");
  for (const PartPlan& part : plan) {
    absl::StatusOr<SealedPart> created = CreateSealedPart(config, part, segment_id, /*renewals=*/0);
    if (!created.ok()) return created.status();
    sealed.segment.control.parts.push_back(std::move(created->part));
    sealed.descriptors.parts.push_back(std::move(created->descriptor));
  }
  PYLABHUB_CRASH_POINT("sealed.create.parts_made");
  sealed.segment.data_segment = BuildSegmentData(*data, config, segment_id, predecessor_id, place_count);
  sealed.segment.data = *std::move(data);
  sealed.segment.control.bell = *std::move(bell);
  sealed.descriptors.data = *std::move(data_fd);
  sealed.descriptors.bell = *std::move(bell_fd);
  return sealed;
}

absl::StatusOr<OpenedSegment> OpenSealedSegment(const ConsumerDescriptors& descriptors) {
  absl::StatusOr<Mapping> data =
      MapSealed(descriptors.data, Writers::kCreatorAlone, Access::kReadOnly, kDataName);
  if (!data.ok()) return data.status();
  absl::StatusOr<Mapping> bell = MapBell(descriptors.bell, Access::kReadWrite);
  if (!bell.ok()) return bell.status();
  absl::StatusOr<Mapping> part =
      MapSealed(descriptors.part, Writers::kEverybody, Access::kReadWrite, kPartName);
  if (!part.ok()) return part.status();
  PYLABHUB_CRASH_POINT("sealed.open.mapped");
  std::vector<FoundPart> parts;
  parts.push_back({*std::move(part), kPartName});
  return View(*std::move(data), std::move(parts), *std::move(bell));
}

absl::StatusOr<OpenedSegment> OpenSealedSegment(const SegmentDescriptors& descriptors) {
  if (absl::Status status = MakeRoomForDescriptors(descriptors.parts.size() + 2); !status.ok()) return status;
  absl::StatusOr<Mapping> data =
      MapSealed(descriptors.data, Writers::kCreatorAlone, Access::kReadOnly, kDataName);
  if (!data.ok()) return data.status();
  absl::StatusOr<Mapping> bell = MapBell(descriptors.bell, Access::kReadOnly);
  if (!bell.ok()) return bell.status();
  std::vector<FoundPart> parts;
  for (size_t index = 0; index < descriptors.parts.size(); ++index) {
    const UniqueFd& descriptor = descriptors.parts[index];
    if (!descriptor.valid()) continue;
    absl::StatusOr<Mapping> part = MapSealed(descriptor, Writers::kEverybody, Access::kReadOnly, kPartName);
    if (!part.ok()) return part.status();
    parts.push_back({*std::move(part), kPartName, index});
  }
  return View(*std::move(data), std::move(parts), *std::move(bell));
}

}  // namespace pylabhub::shm
