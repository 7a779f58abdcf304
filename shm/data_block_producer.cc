#include "shm/data_block_producer.h"

#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "shm/channel/anchor.h"
#include "shm/channel/channel_files.h"
#include "shm/channel/invariant.h"
#include "shm/channel/named_segment.h"
#include "shm/channel/part_supply.h"
#include "shm/channel/predecessors.h"
#include "shm/channel/producer_segment.h"
#include "shm/channel/sealed_segment.h"
#include "shm/channel/succession.h"
#include "shm/os/crash_point.h"
#include "shm/os/deadline.h"
#include "shm/os/fork_guard.h"
#include "shm/part_plan.h"
#include "shm/ring/zone.h"

namespace pylabhub::shm {
namespace {

absl::Status HasName(const ChannelConfig& config) {
  return absl::FailedPreconditionError(absl::StrCat(
      "channel '", config.channel, "' has a name: it has no parts that could be handed over or renewed"));
}

}  // namespace

// What other threads share with the producer's.
struct DataBlockProducer::Dealings {
  PartSupply supply;
  // Guards `segment_` against being replaced, and its parts, while another thread looks at them; and what follows.
  std::mutex mutex;
  ProducerStats earlier;  // of the segments before the current one
  uint64_t generation = ForkGeneration();

  Dealings(ChannelConfig config, const SegmentId& segment_id, SegmentDescriptors descriptors)
      : supply(std::move(config), segment_id, std::move(descriptors)) {}
};

absl::StatusOr<std::unique_ptr<DataBlockProducer>> DataBlockProducer::Create(const ChannelConfig& requested,
                                                                             const WaitOptions& wait) {
  ChannelConfig config = requested.WithDefaults();
  if (absl::Status status = config.Validate(); !status.ok()) return status;
  ChannelFiles files(config.directory, config.channel);
  absl::StatusOr<Anchor> anchor = Anchor::Lock(files, config.unix_group);
  if (!anchor.ok()) return anchor.status();

  PYLABHUB_CRASH_POINT("producer.create.anchor_locked");
  const SegmentId predecessor_id = anchor->Read().segment_id;
  absl::StatusOr<Succession> succession = Succession::Of(files, predecessor_id);
  if (!succession.ok()) return succession.status();
  if (absl::Status status = CheckRoomForHeirs(config, config.max_consumers, *succession); !status.ok())
    return status;
  PYLABHUB_CRASH_POINT("producer.create.heirs_found");
  if (const size_t undrained = CountUndrainedSegments(files); undrained >= kMaxUndrainedSegments) {
    return absl::ResourceExhaustedError(absl::StrCat("channel '", config.channel, "' has ", undrained,
                                                     " segments of earlier producers with slots that a group "
                                                     "has not read; start consumers of that group, or ",
                                                     "give the slots up with `pylabhub doctor --clean ",
                                                     config.channel, "`"));
  }
  const SegmentId segment_id = SegmentId::Random();
  absl::StatusOr<CreatedSegment> segment = CreateNamedSegment(files, config, segment_id, predecessor_id);
  if (!segment.ok()) {
    // A channel that never was leaves no anchor behind.
    anchor = absl::UnavailableError("");
    PYLABHUB_CRASH_POINT("producer.create.refused");
    LeaveChannel(files, predecessor_id);
    return segment.status();
  }
  PYLABHUB_CRASH_POINT("producer.create.segment_created");
  auto made = std::make_unique<ProducerSegment>(
      std::move(config), wait, NamedHome{std::move(files), *std::move(anchor)},
      /*supply=*/nullptr, *std::move(segment), *std::move(succession), segment_id, predecessor_id);
  made->Publish();
  made->RemoveAbandonedSegments();
  PYLABHUB_CRASH_POINT("producer.create.abandoned_removed");
  return std::unique_ptr<DataBlockProducer>(new DataBlockProducer(std::move(made), /*dealings=*/nullptr));
}

absl::StatusOr<std::unique_ptr<DataBlockProducer>> DataBlockProducer::CreateSealed(
    const ChannelConfig& requested, const WaitOptions& wait, std::span<const SegmentDescriptors> predecessors,
    const SegmentId& wanted_id) {
  ChannelConfig config = requested.WithDefaults();
  if (absl::Status status = config.Validate(); !status.ok()) return status;
  if (config.unix_group.has_value()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "channel '", config.channel,
        "': unix_group is for named channels; a sealed one is used by whoever gets its descriptors"));
  }
  config.directory.clear();
  absl::StatusOr<std::vector<OpenedSegment>> chain = OpenPredecessors(config, predecessors);
  if (!chain.ok()) return chain.status();
  const SegmentId predecessor_id = chain->empty() ? SegmentId() : chain->back().data_view.segment_id;
  Succession succession = Succession::Of(*std::move(chain));
  const uint32_t places = CountPlaces(PlanParts(config));
  if (absl::Status status = CheckRoomForHeirs(config, places, succession); !status.ok()) return status;

  const SegmentId segment_id = wanted_id.is_nil() ? SegmentId::Random() : wanted_id;
  absl::StatusOr<SealedSegment> sealed = CreateSealedSegment(config, segment_id, predecessor_id);
  if (!sealed.ok()) return sealed.status();
  auto dealings = std::make_unique<Dealings>(config, segment_id, std::move(sealed->descriptors));
  auto made = std::make_unique<ProducerSegment>(std::move(config), wait, /*home=*/std::nullopt,
                                                &dealings->supply, std::move(sealed->segment),
                                                std::move(succession), segment_id, predecessor_id);
  made->Publish();
  return std::unique_ptr<DataBlockProducer>(new DataBlockProducer(std::move(made), std::move(dealings)));
}

DataBlockProducer::DataBlockProducer(std::unique_ptr<ProducerSegment> segment,
                                     std::unique_ptr<Dealings> dealings)
    : dealings_(std::move(dealings)), segment_(std::move(segment)) {}
DataBlockProducer::~DataBlockProducer() = default;

[[gnu::always_inline]] inline SlotResult DataBlockProducer::AcquireSlots(size_t slots,
                                                                         absl::Duration timeout) {
  if (segment_->forked()) [[unlikely]]
    return SlotResult::kForked;
  Require(!segment_->writer().prepared(), "a DataBlockProducer has one WriteSlot or WriteBatch at a time");
  if (segment_->has_chores()) [[unlikely]]
    DoChores();
  segment_->NoteSlotWithoutSleep();
  if (segment_->TryAcquire(slots)) [[likely]]
    return SlotResult::kOk;
  return WaitForSlots(slots, timeout);
}

SlotResult DataBlockProducer::WaitForSlots(size_t slots, absl::Duration timeout) {
  const Deadline deadline(timeout);
  for (;;) {
    const std::optional<SlotResult> result = segment_->WaitForSlots(slots, deadline.left());
    if (result.has_value()) return *result;
    DoWhatWasAsked();
    if (segment_->TryAcquire(slots)) return SlotResult::kOk;
  }
}

void DataBlockProducer::DoChores() {
  if (dealings_ != nullptr && dealings_->supply.asked()) DoWhatWasAsked();
  segment_->DoChores();
}

void DataBlockProducer::DoWhatWasAsked() {
  PartSupply::Wishes wishes = dealings_->supply.Take();
  if (!wishes.renewals.empty()) {
    const std::lock_guard lock(dealings_->mutex);
    for (PartSupply::Renewal& renewal : wishes.renewals) segment_->RenewPart(std::move(renewal));
  }
  if (wishes.moved_on.empty()) return;
  const absl::Status status = MoveOn(wishes.except_places);
  for (const MovedOn& moved_on : wishes.moved_on)
    moved_on(status.ok() ? dealings_->supply.Duplicate() : absl::StatusOr<HandedOver>(status));
  PYLABHUB_CRASH_POINT("producer.move_on.told");
}

absl::Status DataBlockProducer::MoveOn(const std::vector<uint32_t>& except_places) {
  const ChannelConfig& config = segment_->config();
  const SegmentId segment_id = SegmentId::Random();
  absl::StatusOr<SealedSegment> sealed = CreateSealedSegment(config, segment_id, segment_->segment_id());
  if (!sealed.ok()) return sealed.status();
  PYLABHUB_CRASH_POINT("producer.move_on.segment_made");
  absl::StatusOr<OpenedSegment> last =
      OpenWithParts(dealings_->supply.descriptors(), segment_->PartsForSuccessor());
  if (!last.ok()) return last.status();
  const DataView last_view = last->data_view;
  auto next = std::make_unique<ProducerSegment>(
      config, segment_->wait(), /*home=*/std::nullopt, &dealings_->supply, std::move(sealed->segment),
      segment_->TakeSuccession().And(*std::move(last), except_places), segment_id, segment_->segment_id());
  PYLABHUB_CRASH_POINT("producer.move_on.places_kept");
  next->Continue(*segment_, last_view);
  PYLABHUB_CRASH_POINT("producer.move_on.zone_written");
  next->Publish();
  dealings_->supply.MoveTo(segment_id, std::move(sealed->descriptors));
  PYLABHUB_CRASH_POINT("producer.move_on.supply_moved");
  {
    const std::lock_guard lock(dealings_->mutex);
    dealings_->earlier = SumOf(dealings_->earlier, StatsOf(segment_->header().progress));
    segment_.swap(next);
  }
  PYLABHUB_CRASH_POINT("producer.move_on.moved");
  // The old segment ends here, as with its producer.
  next.reset();
  PYLABHUB_CRASH_POINT("producer.move_on.last_ended");
  return absl::OkStatus();
}

WriteSlot DataBlockProducer::Acquire(absl::Duration timeout) {
  const SlotResult result = AcquireSlots(1, timeout);
  if (result != SlotResult::kOk) [[unlikely]]
    return WriteSlot(result);
  return WriteSlot(&segment_->writer(), segment_->writer().payload());
}

WriteBatch DataBlockProducer::AcquireBatch(size_t slots, absl::Duration timeout) {
  Require(slots != 0, "a WriteBatch has at least one slot");
  const SlotResult result = AcquireSlots(slots, timeout);
  if (result != SlotResult::kOk) return WriteBatch(result);
  return WriteBatch(&segment_->writer());
}

absl::Status DataBlockProducer::WriteZone(std::span<const std::byte> bytes) {
  if (segment_->forked())
    return absl::FailedPreconditionError("the producer belongs to the parent of this process");
  if (!segment_->zone().has_value()) return NoZone(config());
  if (bytes.size() > config().zone_bytes) {
    return absl::InvalidArgumentError(absl::StrCat("the zone of channel '", config().channel, "' has ",
                                                   config().zone_bytes, " bytes, not ", bytes.size(),
                                                   "; create it with more zone_bytes"));
  }
  // What is written from now on is not for those who were left behind.
  if (dealings_ != nullptr && dealings_->supply.asked() && !segment_->writer().prepared()) DoWhatWasAsked();
  segment_->zone()->Write(bytes);
  return absl::OkStatus();
}

uint64_t DataBlockProducer::zone_version() const {
  return segment_->zone().has_value() ? segment_->zone()->version() : 0;
}

uint64_t DataBlockProducer::next_sequence() const { return segment_->writer().next_sequence(); }
const ChannelConfig& DataBlockProducer::config() const { return segment_->config(); }
const SegmentId& DataBlockProducer::segment_id() const { return segment_->segment_id(); }
const SegmentId& DataBlockProducer::predecessor_id() const { return segment_->predecessor_id(); }
const SegmentDescriptors* DataBlockProducer::descriptors() const {
  return dealings_ == nullptr ? nullptr : &dealings_->supply.descriptors();
}

uint32_t DataBlockProducer::consumer_count() const {
  if (dealings_ == nullptr) return segment_->forked() ? 0 : segment_->CountConsumers();
  if (dealings_->generation != ForkGeneration()) return 0;
  const std::lock_guard lock(dealings_->mutex);
  return segment_->CountConsumers();
}

absl::StatusOr<HandedOver> DataBlockProducer::DuplicateDescriptors() const {
  if (dealings_ == nullptr) return HasName(config());
  return dealings_->supply.Duplicate();
}

absl::StatusOr<RenewedParts> DataBlockProducer::RenewParts(const SegmentId& segment_id,
                                                           std::span<const uint32_t> parts) {
  if (dealings_ == nullptr) return HasName(config());
  return dealings_->supply.Renew(segment_id, parts);
}

std::vector<uint32_t> DataBlockProducer::PartsInUse() const {
  return dealings_ == nullptr ? std::vector<uint32_t>() : dealings_->supply.InUse();
}

void DataBlockProducer::RequestMoveOn(std::vector<uint32_t> except_places, MovedOn moved_on) {
  if (dealings_ == nullptr) return moved_on(HasName(config()));
  dealings_->supply.RequestMoveOn(std::move(except_places), std::move(moved_on));
}

ProducerStats DataBlockProducer::Stats() const {
  if (dealings_ == nullptr)
    return segment_->forked() ? ProducerStats() : StatsOf(segment_->header().progress);
  if (dealings_->generation != ForkGeneration()) return {};
  const std::lock_guard lock(dealings_->mutex);
  return SumOf(dealings_->earlier, StatsOf(segment_->header().progress));
}

}  // namespace pylabhub::shm
