#include "shm/channel/producer_segment.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <span>

#include "shm/channel/invariant.h"
#include "shm/channel/named_segment.h"
#include "shm/os/crash_point.h"
#include "shm/os/full_fence.h"
#include "shm/os/futex.h"
#include "shm/os/kernel_lock.h"

namespace pylabhub::shm {
namespace {

std::vector<ControlView> ViewsOf(const Control& control) {
  std::vector<ControlView> views;
  for (const ControlPart& part : control.parts) views.push_back(part.view);
  return views;
}

}  // namespace

ProducerSegment::ProducerSegment(ChannelConfig config, const WaitOptions& wait, std::optional<NamedHome> home,
                                 const PartSupply* supply, CreatedSegment segment, Succession succession,
                                 const SegmentId& segment_id, const SegmentId& predecessor_id)
    : config_(std::move(config)),
      wait_(wait),
      home_(std::move(home)),
      supply_(supply),
      segment_(std::move(segment)),
      segment_id_(segment_id),
      predecessor_id_(predecessor_id),
      roster_(ViewsOf(segment_.control), segment_.control.bell_word(), config_.max_pins,
              [this](uint32_t place) { return segment_.control.ConsumerLives(place); }),
      writer_(segment_.data_segment, config_, roster_),
      kept_places_(config_, std::move(succession), segment_, roster_),
      has_chores_(supply_ != nullptr || !kept_places_.empty()) {
  if (config_.zone_bytes != 0) zone_.emplace(segment_.data_segment);
}

ProducerSegment::~ProducerSegment() {
  if (forked()) return;
  Require(!writer_.prepared(), "a WriteSlot outlives its DataBlockProducer");
  writer_.Close();
  if (zone_.has_value()) zone_->WakeForTheEnd();
  // Locks first, then a look at who is left: of two that leave at once, the second sees that both are gone.
  PYLABHUB_CRASH_POINT("producer.end.closed");
  const Mapping data = std::move(segment_.data);
  UnlockByte(data.fd(), kProducerLockByte);
  PYLABHUB_CRASH_POINT("producer.end.unlocked");
  if (!home_.has_value()) return;
  home_->anchor.reset();
  PYLABHUB_CRASH_POINT("producer.end.anchor_given_back");
  LeaveChannel(home_->files, segment_id_);
  PYLABHUB_CRASH_POINT("producer.end.left");
}

void ProducerSegment::Publish() {
  PYLABHUB_CRASH_POINT("producer.publish.begun");
  segment_.Publish();
  PYLABHUB_CRASH_POINT("producer.publish.segment_published");
  if (home_.has_value()) home_->anchor->Publish(segment_id_);
  PYLABHUB_CRASH_POINT("producer.publish.anchor_published");
}

void ProducerSegment::RemoveAbandonedSegments() const {
  if (!home_.has_value()) return;
  for (const SegmentId& id : home_->files.ListSegments()) {
    if (id != segment_id_ && IsAbandoned(home_->files, id)) home_->files.RemoveSegment(id);
  }
}

void ProducerSegment::DoChores() {
  // Gives up places that were kept for consumers which have come, died, or taken too long.
  kept_places_.SettleIfDue(writer_.next_sequence());
  if (supply_ != nullptr) {
    roster_.LookInTurn(writer_.next_sequence());
  } else {
    has_chores_ = !kept_places_.empty();
  }
}

void ProducerSegment::RenewPart(PartSupply::Renewal renewal) {
  ControlPart& part = segment_.control.parts[renewal.index];
  // Mapped until the roster has forgotten it.
  const ControlPart old = std::exchange(part, std::move(renewal.fresh));
  writer_.RenewPart(renewal.index, part.view);
}

std::vector<bool> ProducerSegment::PartsForSuccessor() const {
  std::vector<bool> wanted;
  for (const ControlPart& part : segment_.control.parts) {
    const std::span<const PlaceRecord> places =
        segment_.data_segment.places().subspan(part.view.first_place(), part.view.max_consumers());
    const bool expects = std::any_of(places.begin(), places.end(), [](const PlaceRecord& place) {
      return place.Expected() != kNotReserved;
    });
    wanted.push_back(expects || part.view.shape.group_count != 0 || AnyByteIsLocked(part.memory.fd()));
  }
  return wanted;
}

void ProducerSegment::Continue(const ProducerSegment& last, const DataView& last_view) {
  ready_to_start_ = last.ready_to_start_;
  if (!zone_.has_value()) return;
  std::vector<std::byte> zone(config_.zone_bytes);
  if (ZoneReader(last_view).Read(zone).value_or(0) != 0) zone_->Write(zone);
}

uint32_t ProducerSegment::CountConsumers() const {
  if (forked()) return 0;
  uint32_t count = 0;
  for (const ControlPart& part : segment_.control.parts) {
    for (uint32_t place = part.view.first_place(); place < part.view.end_place(); ++place) {
      const uint64_t state = part.view.entry(place).state.load(std::memory_order_relaxed);
      if (PhaseOf(state) == Phase::kActive && part.ConsumerLives(place)) ++count;
    }
  }
  return count;
}

std::optional<SlotResult> ProducerSegment::WaitForSlots(size_t slots, absl::Duration timeout) {
  Wait wait(wait_, timeout);
  patience_.HeldUp(writer_.next_sequence());
  std::optional<SlotResult> result = SlotResult::kTimeout;
  std::optional<ConsumerRoster::Slowest> blocker;
  for (;;) {
    if (supply_ != nullptr && supply_->asked()) {
      result.reset();
      break;
    }
    if (wait.Spin([this, slots] { return TryAcquire(slots); })) {
      result = SlotResult::kOk;
      break;
    }
    if (liveness_.Due(wait.liveness_interval()) && LookAtPeers()) continue;
    blocker = Blocker();
    if (blocker.has_value() && GiveUpOnTheSlow(*blocker)) continue;
    if (wait.expired()) break;
    if (!wait.may_sleep()) continue;
    if (blocker.has_value()) {
      SleepFor(*blocker, wait);
    } else {
      SleepForMember(wait);
    }
  }
  writer_.CountWait(wait.elapsed_ns());
  if (blocker.has_value() && !blocker->is_group) writer_.CountWaitFor(blocker->index, wait.elapsed_ns());
  return result;
}

std::optional<ConsumerRoster::Slowest> ProducerSegment::Blocker() {
  if (!ready_to_start_) return std::nullopt;
  const ConsumerRoster::Slowest slowest = writer_.FindSlowest();
  if (slowest.is_group) return slowest;
  if (slowest.index == ConsumerRoster::kNobody || roster_.IsReserved(slowest.index)) return std::nullopt;
  return slowest;
}

bool ProducerSegment::LookAtPeers() {
  if (supply_ != nullptr) roster_.LookAtAll(writer_.next_sequence());
  const bool settled = !kept_places_.empty() && kept_places_.Settle(writer_.next_sequence());
  const bool evicted = Blocker().has_value() && writer_.EvictDeadBlockers();
  return evicted || settled;
}

absl::Duration ProducerSegment::PatienceWith(const ConsumerRoster::Slowest& blocker) {
  if (blocker.is_group) return absl::InfiniteDuration();
  const ConsumerRoster::Agreement agreed = roster_.AgreementOf(blocker.index);
  const bool blocks = agreed.when_slow == WhenSlow::kBlock;
  const absl::Duration own = blocks ? absl::InfiniteDuration() : absl::Nanoseconds(agreed.patience_ns);
  return patience_.Left(std::min(own, config_.max_patience));
}

bool ProducerSegment::GiveUpOnTheSlow(const ConsumerRoster::Slowest& blocker) {
  if (PatienceWith(blocker) > absl::ZeroDuration()) return false;
  const WhenSlow agreed = roster_.AgreementOf(blocker.index).when_slow;
  writer_.GiveUpOn(blocker.index, agreed == WhenSlow::kBlock ? WhenSlow::kDropBacklog : agreed);
  return true;
}

void ProducerSegment::SleepForMember(const Wait& wait) {
  const std::atomic<uint64_t>& changes = segment_.control.bell_word();
  const auto seen = static_cast<uint32_t>(changes.load(std::memory_order_relaxed));
  FullFence();
  roster_.Refresh(writer_.next_sequence());
  if (supply_ != nullptr) roster_.LookAtAll(writer_.next_sequence());
  PYLABHUB_CRASH_POINT("producer.sleep_for_member.looked");
  const bool too_few = !ready_to_start_ && roster_.CountSettled() < config_.min_consumers;
  const bool heir_missing = ready_to_start_ && !Blocker().has_value() && roster_.AnyReserved();
  if (too_few || heir_missing) FutexWait(LowHalf(changes), seen, wait.SleepTime(/*first=*/false));
}

void ProducerSegment::SleepFor(const ConsumerRoster::Slowest& blocker, const Wait& wait) {
  ProducerWait& shared = segment_.data_segment.header->wait;
  const bool first = !std::exchange(may_sleep_, true);
  slots_since_sleep_ = 0;
  const std::atomic<uint64_t>& word = roster_.progress_word(blocker);
  const auto seen = static_cast<uint32_t>(word.load(std::memory_order_relaxed));
  shared.waiting_cursor.store(writer_.needed_cursor(), std::memory_order_relaxed);
  PYLABHUB_CRASH_POINT("producer.sleep.cursor_said");
  shared.waiting_place.store(blocker.is_group ? kWaitingGroup + blocker.index : 1 + blocker.index,
                             std::memory_order_relaxed);
  PYLABHUB_CRASH_POINT("producer.sleep.place_said");
  shared.may_sleep.store(1, std::memory_order_relaxed);
  PYLABHUB_CRASH_POINT("producer.sleep.may_sleep_said");
  // Edge W: whoever goes on sees that it must wake, or this sees that it went on.
  FullFence();
  if (writer_.FindSlowest().cursor < writer_.needed_cursor())
    FutexWait(LowHalf(word), seen, std::min(wait.SleepTime(first), PatienceWith(blocker)));
  PYLABHUB_CRASH_POINT("producer.sleep.slept");
  shared.waiting_place.store(0, std::memory_order_relaxed);
  PYLABHUB_CRASH_POINT("producer.sleep.over");
}

}  // namespace pylabhub::shm
