#include "shm/data_block_producer.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "shm/channel/anchor.h"
#include "shm/channel/channel_files.h"
#include "shm/channel/invariant.h"
#include "shm/channel/kept_places.h"
#include "shm/channel/named_segment.h"
#include "shm/channel/part_supply.h"
#include "shm/channel/patience.h"
#include "shm/channel/sealed_segment.h"
#include "shm/channel/succession.h"
#include "shm/channel/wait.h"
#include "shm/os/crash_point.h"
#include "shm/os/deadline.h"
#include "shm/os/fork_guard.h"
#include "shm/os/full_fence.h"
#include "shm/os/futex.h"
#include "shm/os/kernel_lock.h"
#include "shm/part_plan.h"
#include "shm/ring/consumer_roster.h"
#include "shm/ring/zone.h"

namespace pylabhub::shm {
namespace {

// A producer that found so many slots free in a row is taken to be awake.
constexpr uint32_t kSlotsToBeAwake = 64;

// The segments that `descriptors` lead to: earlier ones of the channel, oldest first.
absl::StatusOr<std::vector<OpenedSegment>> OpenChain(const ChannelConfig& config,
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

std::vector<ControlView> ViewsOf(const Control& control) {
  std::vector<ControlView> views;
  for (const ControlPart& part : control.parts) views.push_back(part.view);
  return views;
}

// The segment as its successor needs it: with those of its parts that are `wanted`.
absl::StatusOr<OpenedSegment> OpenSome(const SegmentDescriptors& descriptors,
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

ProducerStats StatsOf(const ProducerProgress& progress) {
  const auto read = [](const std::atomic<uint64_t>& counter) {
    return counter.load(std::memory_order_relaxed);
  };
  return {.committed_slots = read(progress.head),
          .committed_bytes = read(progress.committed_bytes),
          .aborted_slots = read(progress.aborted_slots),
          .waits = read(progress.waits),
          .blocked = absl::Nanoseconds(read(progress.blocked_ns)),
          .wakes = read(progress.wakes),
          .evicted_consumers = read(progress.evicted_consumers),
          .dropped_backlogs = read(progress.dropped_backlogs),
          .cut_off_consumers = read(progress.cut_off_consumers),
          .invalid_peer_values = read(progress.invalid_peer_values)};
}

ProducerStats SumOf(const ProducerStats& a, const ProducerStats& b) {
  return {.committed_slots = a.committed_slots + b.committed_slots,
          .committed_bytes = a.committed_bytes + b.committed_bytes,
          .aborted_slots = a.aborted_slots + b.aborted_slots,
          .waits = a.waits + b.waits,
          .blocked = a.blocked + b.blocked,
          .wakes = a.wakes + b.wakes,
          .evicted_consumers = a.evicted_consumers + b.evicted_consumers,
          .dropped_backlogs = a.dropped_backlogs + b.dropped_backlogs,
          .cut_off_consumers = a.cut_off_consumers + b.cut_off_consumers,
          .invalid_peer_values = a.invalid_peer_values + b.invalid_peer_values};
}

absl::Status HasName(const ChannelConfig& config) {
  return absl::FailedPreconditionError(absl::StrCat(
      "channel '", config.channel, "' has a name: it has no parts that could be handed over or renewed"));
}

// Where a named channel's consumers find its segment.
struct NamedHome {
  ChannelFiles files;
  std::optional<Anchor> anchor;
};

}  // namespace

// Of one segment: everything that is replaced when the producer moves on.
class DataBlockProducer::State {
 public:
  // Has a name (`home`), or is handed over (`supply`, which must outlive it).
  State(ChannelConfig config, const WaitOptions& wait, std::optional<NamedHome> home,
        const PartSupply* supply, CreatedSegment segment, Succession succession, const SegmentId& segment_id,
        const SegmentId& predecessor_id)
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

  ~State() {
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

  void Publish() {
    PYLABHUB_CRASH_POINT("producer.publish.begun");
    segment_.Publish();
    PYLABHUB_CRASH_POINT("producer.publish.segment_published");
    if (home_.has_value()) home_->anchor->Publish(segment_id_);
    PYLABHUB_CRASH_POINT("producer.publish.anchor_published");
  }

  // Removes what earlier producers left and nobody uses.
  void RemoveAbandonedSegments() const {
    if (!home_.has_value()) return;
    for (const SegmentId& id : home_->files.ListSegments()) {
      if (id != segment_id_ && IsAbandoned(home_->files, id)) home_->files.RemoveSegment(id);
    }
  }

  bool forked() const { return generation_ != ForkGeneration(); }
  RingWriter& writer() { return writer_; }
  const RingWriter& writer() const { return writer_; }
  std::optional<ZoneWriter>& zone() { return zone_; }
  const ChannelConfig& config() const { return config_; }
  const SegmentId& segment_id() const { return segment_id_; }
  const SegmentId& predecessor_id() const { return predecessor_id_; }
  const WaitOptions& wait() const { return wait_; }
  const DataHeader& header() const { return *segment_.data_segment.header; }

  // True if DoChores has something to do.
  bool has_chores() const { return has_chores_; }
  void DoChores() {
    // Gives up places that were kept for consumers which have come, died, or taken too long.
    kept_places_.SettleIfDue(writer_.next_sequence());
    if (supply_ != nullptr) {
      roster_.LookInTurn(writer_.next_sequence());
    } else {
      has_chores_ = !kept_places_.empty();
    }
  }

  void RenewPart(PartSupply::Renewal renewal) {
    ControlPart& part = segment_.control.parts[renewal.index];
    // Mapped until the roster has forgotten it.
    const ControlPart old = std::exchange(part, std::move(renewal.fresh));
    writer_.RenewPart(renewal.index, part.view);
  }

  // By index: parts at which somebody sits, or is still to come from an earlier segment; and those of groups, which may have
  // slots left.
  std::vector<bool> PartsForSuccessor() const {
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
  // Nobody is waited for here any more: the successor does.
  Succession TakeSuccession() { return kept_places_.TakeSuccession(); }
  // This one goes on where `last` was.
  void Continue(const State& last, const DataView& last_view) {
    ready_to_start_ = last.ready_to_start_;
    if (!zone_.has_value()) return;
    std::vector<std::byte> zone(config_.zone_bytes);
    if (ZoneReader(last_view).Read(zone).value_or(0) != 0) zone_->Write(zone);
  }

  // A producer that has found many slots free is taken to be awake: its consumers need not fence any more.
  void NoteSlotWithoutSleep() {
    if (!may_sleep_ || ++slots_since_sleep_ < kSlotsToBeAwake) [[likely]]
      return;
    may_sleep_ = false;
    segment_.data_segment.header->wait.may_sleep.store(0, std::memory_order_relaxed);
    PYLABHUB_CRASH_POINT("producer.awake.said");
  }

  uint32_t CountConsumers() const {
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

  // `slots` slots, or as many as can be had, at least one.
  [[gnu::always_inline]] bool TryAcquire(size_t slots) {
    if (!ready_to_start_) [[unlikely]] {
      roster_.Refresh(writer_.next_sequence());
      if (roster_.CountSettled() < config_.min_consumers) return false;
      // Nobody is written for who died before the start.
      const bool evicted = roster_.EvictAllDead();
      writer_.PublishNewRosterCounters();
      if (evicted && roster_.CountSettled() < config_.min_consumers) return false;
      ready_to_start_ = true;
    }
    return slots == 1 ? writer_.TryAcquire() : writer_.TryAcquireBatch(slots);
  }

  // None: another thread has asked for something, which comes first.
  std::optional<SlotResult> WaitForSlots(size_t slots, absl::Duration timeout) {
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

 private:
  // Who holds the next slot back; nobody before the first one, while consumers are still to come.
  std::optional<ConsumerRoster::Slowest> Blocker() {
    if (!ready_to_start_) return std::nullopt;
    const ConsumerRoster::Slowest slowest = writer_.FindSlowest();
    if (slowest.is_group) return slowest;
    if (slowest.index == ConsumerRoster::kNobody || roster_.IsReserved(slowest.index)) return std::nullopt;
    return slowest;
  }

  // Asks the kernel about those who hold the next slot back. True if one of them does so no longer.
  bool LookAtPeers() {
    if (supply_ != nullptr) roster_.LookAtAll(writer_.next_sequence());
    const bool settled = !kept_places_.empty() && kept_places_.Settle(writer_.next_sequence());
    const bool evicted = Blocker().has_value() && writer_.EvictDeadBlockers();
    return evicted || settled;
  }

  // How much longer `blocker` may hold the next slot up. A group may for ever.
  absl::Duration PatienceWith(const ConsumerRoster::Slowest& blocker) {
    if (blocker.is_group) return absl::InfiniteDuration();
    const ConsumerRoster::Agreement agreed = roster_.AgreementOf(blocker.index);
    const bool blocks = agreed.when_slow == WhenSlow::kBlock;
    const absl::Duration own = blocks ? absl::InfiniteDuration() : absl::Nanoseconds(agreed.patience_ns);
    return patience_.Left(std::min(own, config_.max_patience));
  }

  // True if `blocker` has held the next slot up for long enough, and does so no longer.
  bool GiveUpOnTheSlow(const ConsumerRoster::Slowest& blocker) {
    if (PatienceWith(blocker) > absl::ZeroDuration()) return false;
    const WhenSlow agreed = roster_.AgreementOf(blocker.index).when_slow;
    writer_.GiveUpOn(blocker.index, agreed == WhenSlow::kBlock ? WhenSlow::kDropBacklog : agreed);
    return true;
  }

  // Sleeps until somebody joins or leaves.
  void SleepForMember(const Wait& wait) {
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

  // Sleeps until `blocker`, which holds the next slot back, goes on.
  void SleepFor(const ConsumerRoster::Slowest& blocker, const Wait& wait) {
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

  ChannelConfig config_;
  WaitOptions wait_;
  std::optional<NamedHome> home_;
  const PartSupply* supply_;
  CreatedSegment segment_;
  SegmentId segment_id_;
  SegmentId predecessor_id_;
  ConsumerRoster roster_;
  RingWriter writer_;
  std::optional<ZoneWriter> zone_;
  KeptPlaces kept_places_;
  bool has_chores_;
  LivenessTimer liveness_;
  PatienceClock patience_;
  bool may_sleep_ = false;  // what consumers were told
  uint32_t slots_since_sleep_ = 0;
  bool ready_to_start_ = false;
  uint64_t generation_ = ForkGeneration();
};

// What other threads share with the producer's.
struct DataBlockProducer::Dealings {
  PartSupply supply;
  // Guards `state_` against being replaced, and its parts, while another thread looks at them; and what follows.
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
  auto state = std::make_unique<State>(
      std::move(config), wait, NamedHome{std::move(files), *std::move(anchor)},
      /*supply=*/nullptr, *std::move(segment), *std::move(succession), segment_id, predecessor_id);
  state->Publish();
  state->RemoveAbandonedSegments();
  PYLABHUB_CRASH_POINT("producer.create.abandoned_removed");
  return std::unique_ptr<DataBlockProducer>(new DataBlockProducer(std::move(state), /*dealings=*/nullptr));
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
  absl::StatusOr<std::vector<OpenedSegment>> chain = OpenChain(config, predecessors);
  if (!chain.ok()) return chain.status();
  const SegmentId predecessor_id = chain->empty() ? SegmentId() : chain->back().data_view.segment_id;
  Succession succession = Succession::Of(*std::move(chain));
  const uint32_t places = CountPlaces(PlanParts(config));
  if (absl::Status status = CheckRoomForHeirs(config, places, succession); !status.ok()) return status;

  const SegmentId segment_id = wanted_id.is_nil() ? SegmentId::Random() : wanted_id;
  absl::StatusOr<SealedSegment> sealed = CreateSealedSegment(config, segment_id, predecessor_id);
  if (!sealed.ok()) return sealed.status();
  auto dealings = std::make_unique<Dealings>(config, segment_id, std::move(sealed->descriptors));
  auto state =
      std::make_unique<State>(std::move(config), wait, /*home=*/std::nullopt, &dealings->supply,
                              std::move(sealed->segment), std::move(succession), segment_id, predecessor_id);
  state->Publish();
  return std::unique_ptr<DataBlockProducer>(new DataBlockProducer(std::move(state), std::move(dealings)));
}

DataBlockProducer::DataBlockProducer(std::unique_ptr<State> state, std::unique_ptr<Dealings> dealings)
    : dealings_(std::move(dealings)), state_(std::move(state)) {}
DataBlockProducer::~DataBlockProducer() = default;

[[gnu::always_inline]] inline SlotResult DataBlockProducer::AcquireSlots(size_t slots,
                                                                         absl::Duration timeout) {
  if (state_->forked()) [[unlikely]]
    return SlotResult::kForked;
  Require(!state_->writer().prepared(), "a DataBlockProducer has one WriteSlot or WriteBatch at a time");
  if (state_->has_chores()) [[unlikely]]
    DoChores();
  state_->NoteSlotWithoutSleep();
  if (state_->TryAcquire(slots)) [[likely]]
    return SlotResult::kOk;
  return WaitForSlots(slots, timeout);
}

SlotResult DataBlockProducer::WaitForSlots(size_t slots, absl::Duration timeout) {
  const Deadline deadline(timeout);
  for (;;) {
    const std::optional<SlotResult> result = state_->WaitForSlots(slots, deadline.left());
    if (result.has_value()) return *result;
    DoWhatWasAsked();
    if (state_->TryAcquire(slots)) return SlotResult::kOk;
  }
}

void DataBlockProducer::DoChores() {
  if (dealings_ != nullptr && dealings_->supply.asked()) DoWhatWasAsked();
  state_->DoChores();
}

void DataBlockProducer::DoWhatWasAsked() {
  PartSupply::Wishes wishes = dealings_->supply.Take();
  if (!wishes.renewals.empty()) {
    const std::lock_guard lock(dealings_->mutex);
    for (PartSupply::Renewal& renewal : wishes.renewals) state_->RenewPart(std::move(renewal));
  }
  if (wishes.moved_on.empty()) return;
  const absl::Status status = MoveOn(wishes.except_places);
  for (const MovedOn& moved_on : wishes.moved_on)
    moved_on(status.ok() ? dealings_->supply.Duplicate() : absl::StatusOr<HandedOver>(status));
  PYLABHUB_CRASH_POINT("producer.move_on.told");
}

absl::Status DataBlockProducer::MoveOn(const std::vector<uint32_t>& except_places) {
  const ChannelConfig& config = state_->config();
  const SegmentId segment_id = SegmentId::Random();
  absl::StatusOr<SealedSegment> sealed = CreateSealedSegment(config, segment_id, state_->segment_id());
  if (!sealed.ok()) return sealed.status();
  PYLABHUB_CRASH_POINT("producer.move_on.segment_made");
  absl::StatusOr<OpenedSegment> last = OpenSome(dealings_->supply.descriptors(), state_->PartsForSuccessor());
  if (!last.ok()) return last.status();
  const DataView last_view = last->data_view;
  auto next = std::make_unique<State>(
      config, state_->wait(), /*home=*/std::nullopt, &dealings_->supply, std::move(sealed->segment),
      state_->TakeSuccession().And(*std::move(last), except_places), segment_id, state_->segment_id());
  PYLABHUB_CRASH_POINT("producer.move_on.places_kept");
  next->Continue(*state_, last_view);
  PYLABHUB_CRASH_POINT("producer.move_on.zone_written");
  next->Publish();
  dealings_->supply.MoveTo(segment_id, std::move(sealed->descriptors));
  PYLABHUB_CRASH_POINT("producer.move_on.supply_moved");
  {
    const std::lock_guard lock(dealings_->mutex);
    dealings_->earlier = SumOf(dealings_->earlier, StatsOf(state_->header().progress));
    state_.swap(next);
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
  return WriteSlot(&state_->writer(), state_->writer().payload());
}

WriteBatch DataBlockProducer::AcquireBatch(size_t slots, absl::Duration timeout) {
  Require(slots != 0, "a WriteBatch has at least one slot");
  const SlotResult result = AcquireSlots(slots, timeout);
  if (result != SlotResult::kOk) return WriteBatch(result);
  return WriteBatch(&state_->writer());
}

absl::Status DataBlockProducer::WriteZone(std::span<const std::byte> bytes) {
  if (state_->forked())
    return absl::FailedPreconditionError("the producer belongs to the parent of this process");
  if (!state_->zone().has_value()) return NoZone(config());
  if (bytes.size() > config().zone_bytes) {
    return absl::InvalidArgumentError(absl::StrCat("the zone of channel '", config().channel, "' has ",
                                                   config().zone_bytes, " bytes, not ", bytes.size(),
                                                   "; create it with more zone_bytes"));
  }
  // What is written from now on is not for those who were left behind.
  if (dealings_ != nullptr && dealings_->supply.asked() && !state_->writer().prepared()) DoWhatWasAsked();
  state_->zone()->Write(bytes);
  return absl::OkStatus();
}

uint64_t DataBlockProducer::zone_version() const {
  return state_->zone().has_value() ? state_->zone()->version() : 0;
}

uint64_t DataBlockProducer::next_sequence() const { return state_->writer().next_sequence(); }
const ChannelConfig& DataBlockProducer::config() const { return state_->config(); }
const SegmentId& DataBlockProducer::segment_id() const { return state_->segment_id(); }
const SegmentId& DataBlockProducer::predecessor_id() const { return state_->predecessor_id(); }
const SegmentDescriptors* DataBlockProducer::descriptors() const {
  return dealings_ == nullptr ? nullptr : &dealings_->supply.descriptors();
}

uint32_t DataBlockProducer::consumer_count() const {
  if (dealings_ == nullptr) return state_->forked() ? 0 : state_->CountConsumers();
  if (dealings_->generation != ForkGeneration()) return 0;
  const std::lock_guard lock(dealings_->mutex);
  return state_->CountConsumers();
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
  if (dealings_ == nullptr) return state_->forked() ? ProducerStats() : StatsOf(state_->header().progress);
  if (dealings_->generation != ForkGeneration()) return {};
  const std::lock_guard lock(dealings_->mutex);
  return SumOf(dealings_->earlier, StatsOf(state_->header().progress));
}

}  // namespace pylabhub::shm
