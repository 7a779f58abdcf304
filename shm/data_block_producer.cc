#include "shm/data_block_producer.h"

#include <algorithm>
#include <atomic>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "shm/channel/anchor.h"
#include "shm/channel/channel_files.h"
#include "shm/channel/invariant.h"
#include "shm/channel/kept_places.h"
#include "shm/channel/named_segment.h"
#include "shm/channel/patience.h"
#include "shm/channel/sealed_segment.h"
#include "shm/channel/succession.h"
#include "shm/channel/wait.h"
#include "shm/os/crash_point.h"
#include "shm/os/fork_guard.h"
#include "shm/os/full_fence.h"
#include "shm/os/futex.h"
#include "shm/os/kernel_lock.h"
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
    absl::StatusOr<OpenedSegment> segment = OpenSealedSegment(predecessor, Access::kReadOnly);
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

}  // namespace

// Where a channel's consumers find its segment.
struct NamedHome {
  ChannelFiles files;
  std::optional<Anchor> anchor;
};
using Home = std::variant<NamedHome, SegmentDescriptors>;

class DataBlockProducer::State {
 public:
  State(ChannelConfig config, const WaitOptions& wait, Home home, CreatedSegment segment,
        Succession succession, const SegmentId& segment_id, const SegmentId& predecessor_id)
      : config_(std::move(config)),
        wait_(wait),
        home_(std::move(home)),
        segment_(std::move(segment)),
        segment_id_(segment_id),
        predecessor_id_(predecessor_id),
        roster_(segment_.control_view, config_.max_pins,
                [this](uint32_t place) { return ConsumerLives(place); }),
        writer_(segment_.data_segment, config_, roster_),
        kept_places_(config_, std::move(succession), segment_, roster_) {
    if (config_.zone_bytes != 0) zone_.emplace(segment_.data_segment);
  }

  ~State() {
    if (forked()) return;
    Require(!writer_.prepared(), "a WriteSlot outlives its DataBlockProducer");
    writer_.Close();
    if (zone_.has_value()) zone_->WakeAll();
    // Locks first, then a look at who is left: of two that leave at once, the second sees that both are gone.
    PYLABHUB_CRASH_POINT("producer.end.closed");
    const Mapping data = std::move(segment_.data);
    UnlockByte(data.fd(), kProducerLockByte);
    PYLABHUB_CRASH_POINT("producer.end.unlocked");
    auto* named = std::get_if<NamedHome>(&home_);
    if (named == nullptr) return;
    named->anchor.reset();
    PYLABHUB_CRASH_POINT("producer.end.anchor_given_back");
    LeaveChannel(named->files, segment_id_);
    PYLABHUB_CRASH_POINT("producer.end.left");
  }

  void Publish() {
    PYLABHUB_CRASH_POINT("producer.publish.begun");
    segment_.Publish();
    PYLABHUB_CRASH_POINT("producer.publish.segment_published");
    if (auto* named = std::get_if<NamedHome>(&home_)) named->anchor->Publish(segment_id_);
    PYLABHUB_CRASH_POINT("producer.publish.anchor_published");
  }

  // Removes what earlier producers left and nobody uses.
  void RemoveAbandonedSegments() const {
    const auto* named = std::get_if<NamedHome>(&home_);
    if (named == nullptr) return;
    for (const SegmentId& id : named->files.ListSegments()) {
      if (id != segment_id_ && IsAbandoned(named->files, id)) named->files.RemoveSegment(id);
    }
  }

  bool forked() const { return generation_ != ForkGeneration(); }
  RingWriter& writer() { return writer_; }
  const RingWriter& writer() const { return writer_; }
  std::optional<ZoneWriter>& zone() { return zone_; }
  const ChannelConfig& config() const { return config_; }
  const SegmentId& segment_id() const { return segment_id_; }
  const SegmentId& predecessor_id() const { return predecessor_id_; }
  const SegmentDescriptors* descriptors() const { return std::get_if<SegmentDescriptors>(&home_); }
  const DataHeader& header() const { return *segment_.data_segment.header; }

  // Gives up places that were kept for consumers which have come, died, or taken too long.
  void SettleHeirsIfDue() { kept_places_.SettleIfDue(writer_.next_sequence()); }

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
    for (uint32_t place = 0; place < config_.max_consumers; ++place) {
      const ConsumerEntry& entry = segment_.control_view.entry(place);
      const bool active = PhaseOf(entry.state.load(std::memory_order_relaxed)) == Phase::kActive;
      if (active && ConsumerLives(place)) ++count;
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

  SlotResult WaitForSlots(size_t slots, absl::Duration timeout) {
    Wait wait(wait_, timeout);
    patience_.HeldUp(writer_.next_sequence());
    SlotResult result = SlotResult::kTimeout;
    std::optional<ConsumerRoster::Slowest> blocker;
    for (;;) {
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
  bool ConsumerLives(uint32_t place) const {
    return ByteIsLocked(segment_.control.fd(), kFirstConsumerLockByte + place);
  }

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
    const std::atomic<uint64_t>& changes = segment_.control_view.header->membership_changes;
    const auto seen = static_cast<uint32_t>(changes.load(std::memory_order_relaxed));
    FullFence();
    roster_.Refresh(writer_.next_sequence());
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
  Home home_;
  CreatedSegment segment_;
  SegmentId segment_id_;
  SegmentId predecessor_id_;
  ConsumerRoster roster_;
  RingWriter writer_;
  std::optional<ZoneWriter> zone_;
  KeptPlaces kept_places_;
  LivenessTimer liveness_;
  PatienceClock patience_;
  bool may_sleep_ = false;  // what consumers were told
  uint32_t slots_since_sleep_ = 0;
  bool ready_to_start_ = false;
  uint64_t generation_ = ForkGeneration();
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
  if (absl::Status status = CheckRoomForHeirs(config, *succession); !status.ok()) return status;
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
  auto state =
      std::make_unique<State>(std::move(config), wait, NamedHome{std::move(files), *std::move(anchor)},
                              *std::move(segment), *std::move(succession), segment_id, predecessor_id);
  state->Publish();
  state->RemoveAbandonedSegments();
  PYLABHUB_CRASH_POINT("producer.create.abandoned_removed");
  return std::unique_ptr<DataBlockProducer>(new DataBlockProducer(std::move(state)));
}

absl::StatusOr<std::unique_ptr<DataBlockProducer>> DataBlockProducer::CreateSealed(
    const ChannelConfig& requested, const WaitOptions& wait,
    std::span<const SegmentDescriptors> predecessors) {
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
  if (absl::Status status = CheckRoomForHeirs(config, succession); !status.ok()) return status;

  const SegmentId segment_id = SegmentId::Random();
  absl::StatusOr<SealedSegment> sealed = CreateSealedSegment(config, segment_id, predecessor_id);
  if (!sealed.ok()) return sealed.status();
  auto state =
      std::make_unique<State>(std::move(config), wait, std::move(sealed->descriptors),
                              std::move(sealed->segment), std::move(succession), segment_id, predecessor_id);
  state->Publish();
  return std::unique_ptr<DataBlockProducer>(new DataBlockProducer(std::move(state)));
}

DataBlockProducer::DataBlockProducer(std::unique_ptr<State> state) : state_(std::move(state)) {}
DataBlockProducer::~DataBlockProducer() = default;

[[gnu::always_inline]] inline SlotResult DataBlockProducer::AcquireSlots(size_t slots,
                                                                         absl::Duration timeout) {
  if (state_->forked()) [[unlikely]]
    return SlotResult::kForked;
  Require(!state_->writer().prepared(), "a DataBlockProducer has one WriteSlot or WriteBatch at a time");
  state_->SettleHeirsIfDue();
  state_->NoteSlotWithoutSleep();
  if (state_->TryAcquire(slots)) [[likely]]
    return SlotResult::kOk;
  return state_->WaitForSlots(slots, timeout);
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
const SegmentDescriptors* DataBlockProducer::descriptors() const { return state_->descriptors(); }

uint32_t DataBlockProducer::consumer_count() const { return state_->forked() ? 0 : state_->CountConsumers(); }

ProducerStats DataBlockProducer::Stats() const {
  if (state_->forked()) return {};
  const ProducerProgress& progress = state_->header().progress;
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

}  // namespace pylabhub::shm
