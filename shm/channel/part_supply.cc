#include "shm/channel/part_supply.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "shm/channel/sealed_segment.h"
#include "shm/os/crash_point.h"
#include "shm/os/descriptor_limit.h"
#include "shm/os/kernel_lock.h"

namespace pylabhub::shm {
namespace {

// A fresh part has a descriptor here, one to look through, and the caller's.
constexpr size_t kDescriptorsEach = 3;

absl::Status Forked() {
  return absl::FailedPreconditionError("the producer belongs to the parent of this process");
}

}  // namespace

PartSupply::PartSupply(ChannelConfig config, const SegmentId& segment_id, SegmentDescriptors descriptors)
    : config_(std::move(config)),
      plan_(PlanParts(config_)),
      segment_id_(segment_id),
      descriptors_(std::move(descriptors)),
      renewals_(plan_.size(), 0) {}

absl::StatusOr<HandedOver> PartSupply::Duplicate() const {
  if (forked()) return Forked();
  if (absl::Status status = MakeRoomForDescriptors(plan_.size() + 2); !status.ok()) return status;
  const std::lock_guard lock(mutex_);
  absl::StatusOr<SegmentDescriptors> copies = descriptors_.Duplicate();
  if (!copies.ok()) return copies.status();
  return HandedOver{segment_id_, *std::move(copies)};
}

absl::Status PartSupply::CheckRenewable(const SegmentId& segment_id, std::span<const uint32_t> parts) const {
  if (!segment_id.is_nil() && segment_id != segment_id_) {
    return absl::NotFoundError(absl::StrCat("channel '", config_.channel, "' has moved on from segment ",
                                            segment_id.ToHex(), " to ", segment_id_.ToHex()));
  }
  for (const uint32_t part : parts) {
    if (part >= plan_.size()) {
      return absl::InvalidArgumentError(absl::StrCat("channel '", config_.channel, "' has ", plan_.size(),
                                                     " parts, and none with the index ", part));
    }
    if (plan_[part].group != 0) {
      return absl::InvalidArgumentError(absl::StrCat(
          "part ", part, " of channel '", config_.channel, "' is that of group '",
          config_.groups[plan_[part].group - 1], "', whose claims are in it; to exclude a member, move on"));
    }
    if (renewals_[part] == kMaxRenewals) {
      return absl::ResourceExhaustedError(
          absl::StrCat("part ", part, " of channel '", config_.channel, "' was renewed too often; move on"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<RenewedParts> PartSupply::Renew(const SegmentId& segment_id, std::span<const uint32_t> parts) {
  if (forked()) return Forked();
  if (absl::Status status = MakeRoomForDescriptors(kDescriptorsEach * parts.size()); !status.ok())
    return status;
  const std::lock_guard renewing(renewing_);
  RenewedParts renewed;
  std::vector<uint32_t> renewals;
  {
    const std::lock_guard lock(mutex_);
    if (absl::Status status = CheckRenewable(segment_id, parts); !status.ok()) return status;
    renewed.segment_id = segment_id_;
    for (const uint32_t part : parts) renewals.push_back(++renewals_[part]);
  }
  // Making memory takes its time: the producer need not wait for it.
  std::vector<Renewal> fresh;
  std::vector<UniqueFd> descriptors;
  for (size_t i = 0; i < parts.size(); ++i) {
    absl::StatusOr<SealedPart> made =
        CreateSealedPart(config_, plan_[parts[i]], renewed.segment_id, renewals[i]);
    if (!made.ok()) return made.status();
    absl::StatusOr<UniqueFd> copy = DuplicateDescriptor(made->descriptor);
    if (!copy.ok()) return copy.status();
    renewed.parts.push_back(parts[i]);
    renewed.descriptors.push_back(*std::move(copy));
    fresh.push_back({parts[i], std::move(made->part)});
    descriptors.push_back(std::move(made->descriptor));
  }
  PYLABHUB_CRASH_POINT("parts.renew.made");
  const std::lock_guard lock(mutex_);
  if (absl::Status status = CheckRenewable(renewed.segment_id, {}); !status.ok()) return status;
  for (size_t i = 0; i < parts.size(); ++i) {
    descriptors_.parts[parts[i]] = std::move(descriptors[i]);
    wishes_.renewals.push_back(std::move(fresh[i]));
  }
  asked_.store(true, std::memory_order_release);
  PYLABHUB_CRASH_POINT("parts.renew.asked");
  return renewed;
}

std::vector<uint32_t> PartSupply::InUse() const {
  std::vector<uint32_t> used;
  if (forked()) return used;
  const std::lock_guard lock(mutex_);
  for (uint32_t part = 0; part < descriptors_.parts.size(); ++part) {
    if (AnyByteIsLocked(descriptors_.parts[part].get())) used.push_back(part);
  }
  return used;
}

void PartSupply::RequestMoveOn(std::vector<uint32_t> except_places, MovedOn moved_on) {
  if (forked()) return moved_on(Forked());
  const std::lock_guard lock(mutex_);
  wishes_.except_places.insert(wishes_.except_places.end(), except_places.begin(), except_places.end());
  wishes_.moved_on.push_back(std::move(moved_on));
  asked_.store(true, std::memory_order_release);
}

PartSupply::Wishes PartSupply::Take() {
  const std::lock_guard lock(mutex_);
  asked_.store(false, std::memory_order_relaxed);
  return std::exchange(wishes_, Wishes());
}

void PartSupply::MoveTo(const SegmentId& segment_id, SegmentDescriptors descriptors) {
  const std::lock_guard lock(mutex_);
  segment_id_ = segment_id;
  // The old ones are closed without the lock.
  std::swap(descriptors_, descriptors);
  renewals_.assign(plan_.size(), 0);
  wishes_.renewals.clear();
}

}  // namespace pylabhub::shm
