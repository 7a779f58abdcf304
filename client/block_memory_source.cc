#include "client/block_memory_source.h"

#include <sys/stat.h>

#include <set>
#include <utility>

#include "absl/strings/str_cat.h"

namespace pylabhub {
namespace {

// Far above what a channel may have; what comes is the broker's word.
constexpr uint32_t kMaxPart = 1 << 16;

absl::Status Gone() { return absl::CancelledError("the producer of this memory is gone"); }

uint64_t SizeOf(int descriptor) {
  struct stat status = {};
  return fstat(descriptor, &status) == 0 ? static_cast<uint64_t>(status.st_size) : 0;
}

handover::Descriptor CopyOf(const shm::UniqueFd& descriptor) {
  return handover::Descriptor(fcntl(descriptor.get(), F_DUPFD_CLOEXEC, 0));
}

shm::SegmentDescriptors DescriptorsOf(InheritedMemory inherited) {
  shm::SegmentDescriptors descriptors;
  for (HandedMemory& memory : inherited.memories) {
    shm::UniqueFd descriptor(memory.descriptor.Release());
    switch (memory.kind) {
      case HandedMemoryKind::kData:
        descriptors.data = std::move(descriptor);
        break;
      case HandedMemoryKind::kBell:
        descriptors.bell = std::move(descriptor);
        break;
      case HandedMemoryKind::kPart:
        if (memory.part > kMaxPart) break;
        if (descriptors.parts.size() <= memory.part) descriptors.parts.resize(memory.part + 1);
        descriptors.parts[memory.part] = std::move(descriptor);
        break;
    }
  }
  return descriptors;
}

absl::Status CheckCopied(const Deposit& deposit) {
  for (const HandedMemory& memory : deposit.memories) {
    if (memory.in_use || memory.descriptor.is_open()) continue;
    return absl::ResourceExhaustedError("no room for more descriptors in this process (RLIMIT_NOFILE)");
  }
  return absl::OkStatus();
}

}  // namespace

BlockMemorySource::BlockMemorySource(shm::ChannelConfig config, const shm::WaitOptions& wait,
                                     const shm::SegmentId& segment_id,
                                     std::function<void(const shm::SegmentId&)> on_moved_on)
    : config_(std::move(config)),
      wait_(wait),
      segment_id_(segment_id),
      plan_(shm::PlanParts(config_)),
      groups_(config_.groups),
      on_moved_on_(std::move(on_moved_on)) {}

absl::Status BlockMemorySource::Begin(std::optional<InheritedMemory> predecessor) {
  std::vector<shm::SegmentDescriptors> chain;
  if (predecessor.has_value()) chain.push_back(DescriptorsOf(*std::move(predecessor)));
  absl::StatusOr<std::unique_ptr<shm::DataBlockProducer>> made =
      shm::DataBlockProducer::CreateSealed(config_, wait_, chain, segment_id_);
  // What the last producer left may be damaged, or of another version: then there are no places to keep. That there are more
  // consumers than places is for the caller to know.
  if (!made.ok() && !chain.empty() && !absl::IsResourceExhausted(made.status())) {
    made = shm::DataBlockProducer::CreateSealed(config_, wait_, {}, segment_id_);
  }
  if (!made.ok()) return made.status();
  const std::lock_guard lock(mutex_);
  made_ = *std::move(made);
  block_ = made_.get();
  return absl::OkStatus();
}

std::unique_ptr<shm::DataBlockProducer> BlockMemorySource::TakeBlock() {
  const std::lock_guard lock(mutex_);
  return std::move(made_);
}

void BlockMemorySource::Detach() {
  const std::lock_guard lock(mutex_);
  block_ = nullptr;
}

void BlockMemorySource::Add(uint32_t part, const shm::UniqueFd& descriptor, Deposit& deposit) const {
  const uint32_t group = plan_[part].group;
  deposit.memories.push_back({.kind = HandedMemoryKind::kPart,
                              .part = part,
                              .group = group == 0 ? "" : groups_[group - 1],
                              .size_bytes = SizeOf(descriptor.get()),
                              .descriptor = CopyOf(descriptor)});
}

absl::StatusOr<Deposit> BlockMemorySource::All(bool with_parts_in_use) {
  const std::lock_guard lock(mutex_);
  if (block_ == nullptr) return Gone();
  const absl::StatusOr<shm::HandedOver> all = block_->DuplicateDescriptors();
  if (!all.ok()) return all.status();
  std::set<uint32_t> in_use;
  shm::RenewedParts renewed;
  if (all->segment_id.bytes == deposited_) {
    for (const uint32_t part : block_->PartsInUse()) in_use.insert(part);
    std::vector<uint32_t> others;
    for (uint32_t part = 0; part < plan_.size(); ++part) {
      if (plan_[part].group == 0 && !in_use.contains(part)) others.push_back(part);
    }
    absl::StatusOr<shm::RenewedParts> made = block_->RenewParts(all->segment_id, others);
    if (!made.ok()) return made.status();
    renewed = *std::move(made);
  }
  deposited_ = all->segment_id.bytes;
  Deposit deposit = {.segment_id = all->segment_id.bytes};
  const shm::SegmentDescriptors& descriptors = all->descriptors;
  deposit.memories.push_back({.kind = HandedMemoryKind::kData,
                              .size_bytes = SizeOf(descriptors.data.get()),
                              .descriptor = CopyOf(descriptors.data)});
  deposit.memories.push_back({.kind = HandedMemoryKind::kBell,
                              .size_bytes = SizeOf(descriptors.bell.get()),
                              .descriptor = CopyOf(descriptors.bell)});
  for (size_t i = 0; i < renewed.parts.size(); ++i) Add(renewed.parts[i], renewed.descriptors[i], deposit);
  const std::set<uint32_t> fresh(renewed.parts.begin(), renewed.parts.end());
  for (uint32_t part = 0; part < plan_.size(); ++part) {
    if (fresh.contains(part)) continue;
    if (plan_[part].group == 0 && in_use.contains(part)) {
      deposit.memories.push_back({.kind = HandedMemoryKind::kPart, .part = part, .in_use = true});
      if (!with_parts_in_use) continue;
      deposit.memories.back().size_bytes = SizeOf(descriptors.parts[part].get());
      deposit.memories.back().descriptor = CopyOf(descriptors.parts[part]);
    } else {
      Add(part, descriptors.parts[part], deposit);
    }
  }
  if (absl::Status status = CheckCopied(deposit); !status.ok()) return status;
  return deposit;
}

absl::StatusOr<Deposit> BlockMemorySource::Renew(const SegmentIdBytes& segment_id,
                                                 const std::vector<uint32_t>& parts) {
  const std::lock_guard lock(mutex_);
  if (block_ == nullptr) return Gone();
  const absl::StatusOr<shm::RenewedParts> renewed = block_->RenewParts(shm::SegmentId{segment_id}, parts);
  if (!renewed.ok()) return renewed.status();
  Deposit deposit = {.segment_id = renewed->segment_id.bytes};
  for (size_t i = 0; i < renewed->parts.size(); ++i) {
    Add(renewed->parts[i], renewed->descriptors[i], deposit);
  }
  if (absl::Status status = CheckCopied(deposit); !status.ok()) return status;
  return deposit;
}

void BlockMemorySource::MoveOn(const SegmentIdBytes& segment_id,
                               const std::vector<uint32_t>& excepted_parts) {
  const std::lock_guard lock(mutex_);
  if (block_ == nullptr || deposited_ != segment_id) return;
  const absl::StatusOr<shm::HandedOver> current = block_->DuplicateDescriptors();
  if (!current.ok() || current->segment_id.bytes != segment_id) return;
  if (is_moving_.exchange(true, std::memory_order_relaxed)) return;
  std::vector<uint32_t> places;
  for (const uint32_t part : excepted_parts) {
    if (part < plan_.size() && plan_[part].group == 0) places.push_back(plan_[part].first_place);
  }
  block_->RequestMoveOn(std::move(places),
                        [weak = weak_from_this()](const absl::StatusOr<shm::HandedOver>& successor) {
                          const std::shared_ptr<BlockMemorySource> self = weak.lock();
                          if (self == nullptr) return;
                          self->is_moving_.store(false, std::memory_order_relaxed);
                          if (successor.ok()) self->on_moved_on_(successor->segment_id);
                        });
}

}  // namespace pylabhub
