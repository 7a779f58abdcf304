#include "client/recording/slot_collector.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "absl/time/clock.h"
#include "client/steady_now.h"

namespace pylabhub::recording {
namespace {

using shm::ReadSlot;
using shm::SlotResult;

constexpr size_t kBatchBytes = size_t{4} << 20;
constexpr absl::Duration kBatchAge = absl::Milliseconds(200);
// How often what nobody wakes us for is looked at: old batches, next producers.
constexpr absl::Duration kPollPeriod = absl::Milliseconds(50);
// Slots that one channel gives before the others are looked at.
constexpr int kSlotsInTurn = 256;
// Where memory is handed over: a producer that is known but gone has moved on to fresh memory, and is there at once.
constexpr absl::Duration kMoveOnTime = absl::Seconds(2);

}  // namespace

// One channel: its consumer, and the batch that is being filled.
class SlotCollector::Source {
 public:
  Source(size_t index, ChannelConsumer channel, absl::Duration follow, BatchQueue& queue,
         shm::WaitSet& wait_set)
      : index_(index),
        name_(channel.block->config().channel),
        follow_(channel.is_handed_over() ? std::max(follow, kMoveOnTime) : follow),
        waits_for_all_(follow > absl::ZeroDuration()),
        channel_(std::move(channel)),
        queue_(queue),
        wait_set_(wait_set),
        batch_(queue.Fresh(index)) {
    Join();
  }

  bool ended() const { return ended_; }

  // Takes what is there. False if nobody will write it.
  bool Take() {
    for (int i = 0; i < kSlotsInTurn; ++i) {
      ReadSlot slot = channel_.block->Acquire(absl::ZeroDuration());
      if (!slot) return NoteNoSlot(slot.result());
      if (!TakeSlot(slot)) return false;
    }
    return true;
  }

  // What depends on time. False if nobody will write it.
  bool Poll(absl::Time now) {
    if (gone_since_.has_value() && !ended_) LookForSuccessor(now);
    return batch_.empty() || now - batch_begin_ < kBatchAge || HandOver();
  }

  bool Finish() {
    if (!ended_) NoteGap(GapKind::kRecorderStopped, 0);
    return batch_.empty() || HandOver();
  }

 private:
  void Join() {
    // One that followed within its own handle is in the set already.
    wait_set_.Add(*channel_.block, {.key = index_}).IgnoreError();
    is_first_of_segment_ = true;
    gone_since_.reset();
    SegmentRow segment;
    const std::string id = channel_.block->segment_id().ToHex();
    std::copy_n(id.begin(), segment.segment_id.size(), segment.segment_id.begin());
    segment.first_slot = batch_.slots.size();
    segment.attached_ns = absl::GetCurrentTimeNanos();
    Begin();
    batch_.segments.push_back(segment);
    segments_ += 1;
  }

  void Begin() {
    if (batch_.empty()) batch_begin_ = SteadyNow();
  }

  bool HandOver() {
    Batch full = std::exchange(batch_, queue_.Fresh(index_));
    return queue_.Push(std::move(full));
  }

  void NoteGap(GapKind kind, uint64_t missed_slots) {
    Begin();
    batch_.gaps.push_back({.before_slot = batch_.slots.size(),
                           .missed_slots = missed_slots,
                           .noticed_ns = absl::GetCurrentTimeNanos(),
                           .segment = segments_ - 1,
                           .kind = kind});
  }

  // How many slots are missing before this one, but for those that were told already.
  uint64_t MissedBefore(const ReadSlot& slot) {
    uint64_t missed = slot.missed_slots();
    // Of a next producer everything is due.
    if (is_first_of_segment_ && segments_ > 1) missed = std::max(missed, slot.sequence());
    is_first_of_segment_ = false;
    return missed - std::min(missed, std::exchange(corrupt_since_, 0));
  }

  bool TakeSlot(ReadSlot& slot) {
    if (const uint64_t missed = MissedBefore(slot); missed > 0) NoteGap(GapKind::kMissed, missed);
    Begin();
    const std::span<const std::byte> payload = slot.payload();
    const size_t record_bytes = std::max<size_t>(channel_.block->schema().record_bytes, 1);
    const size_t tail_bytes = payload.size() % record_bytes;
    const std::span<const std::byte> records = payload.first(payload.size() - tail_bytes);
    const size_t records_before = batch_.records.size();
    batch_.records.insert(batch_.records.end(), records.begin(), records.end());
    const SlotRow row = {.sequence = slot.sequence(),
                         .timestamp_ns = slot.timestamp_ns(),
                         .payload_bytes = payload.size(),
                         .segment = segments_ - 1,
                         .redelivered = slot.redelivered() ? 1U : 0U};
    const std::vector<std::byte> tail(payload.end() - static_cast<ptrdiff_t>(tail_bytes), payload.end());
    if (slot.Release() != SlotResult::kOk) {
      batch_.records.resize(records_before);
      NoteGap(GapKind::kCorrupt, 1);
      return true;
    }
    batch_.tails.insert(batch_.tails.end(), tail.begin(), tail.end());
    batch_.slots.push_back(row);
    return batch_.bytes() < kBatchBytes || HandOver();
  }

  bool NoteNoSlot(SlotResult result) {
    switch (result) {
      case SlotResult::kCorrupt:
        corrupt_since_ += 1;
        NoteGap(GapKind::kCorrupt, 1);
        break;
      case SlotResult::kProducerClosed:
        NoteGone(GapKind::kProducerClosed);
        break;
      case SlotResult::kProducerDead:
        NoteGone(GapKind::kProducerDied);
        break;
      case SlotResult::kCutOff:
        NoteGap(GapKind::kCutOff, 0);
        End();
        break;
      default:
        break;
    }
    return true;
  }

  void NoteGone(GapKind kind) {
    if (!gone_since_.has_value()) {
      gone_since_ = SteadyNow();
      NoteGap(kind, 0);
    }
    LookForSuccessor(SteadyNow());
  }

  void LookForSuccessor(absl::Time now) {
    const absl::Status followed = Follow(channel_, absl::ZeroDuration());
    if (followed.ok()) {
      Join();
      return;
    }
    if (absl::IsFailedPrecondition(followed)) {
      NoteGap(GapKind::kSchemaChanged, 0);
      End();
      return;
    }
    if (now - *gone_since_ >= follow_ || !MayComeBack()) End();
  }

  // A producer whose memory was handed over, that its broker does not know any more, did not only move on.
  bool MayComeBack() const {
    if (waits_for_all_ || !channel_.is_handed_over()) return true;
    return channel_.link.messenger->DiscoverProducer(name_, absl::ZeroDuration()).ok();
  }

  void End() {
    wait_set_.Remove(*channel_.block).IgnoreError();
    ended_ = true;
  }

  const size_t index_;
  const std::string name_;
  const absl::Duration follow_;
  const bool waits_for_all_;  // and not only for a producer that moves on
  ChannelConsumer channel_;
  BatchQueue& queue_;
  shm::WaitSet& wait_set_;
  Batch batch_;
  absl::Time batch_begin_;
  uint32_t segments_ = 0;
  bool is_first_of_segment_ = true;
  uint64_t corrupt_since_ = 0;  // slots told as corrupt, which the next slot will count as missed
  std::optional<absl::Time> gone_since_;
  bool ended_ = false;
};

SlotCollector::SlotCollector(std::vector<ChannelConsumer> channels, absl::Duration follow, BatchQueue& queue)
    : queue_(queue) {
  for (size_t i = 0; i < channels.size(); ++i) {
    sources_.push_back(std::make_unique<Source>(i, std::move(channels[i]), follow, queue_, wait_set_));
  }
}

SlotCollector::~SlotCollector() = default;

bool SlotCollector::Continues() const {
  // Relaxed: it guards no other memory.
  return !stopped_.load(std::memory_order_relaxed) &&
         !std::all_of(sources_.begin(), sources_.end(), [](const auto& source) { return source->ended(); });
}

bool SlotCollector::RunOnce() {
  const shm::WaitResult next = wait_set_.Wait(kPollPeriod);
  return next.outcome != shm::WaitOutcome::kReady || sources_[next.key]->Take();
}

void SlotCollector::Run() {
  absl::Time next_poll = SteadyNow() + kPollPeriod;
  bool is_written = true;
  while (is_written && Continues()) {
    is_written = RunOnce();
    const absl::Time now = SteadyNow();
    if (now < next_poll) continue;
    next_poll = now + kPollPeriod;
    for (const auto& source : sources_) is_written = source->Poll(now) && is_written;
  }
  for (const auto& source : sources_) is_written = is_written && source->Finish();
  queue_.Close();
}

void SlotCollector::Stop() {
  stopped_.store(true, std::memory_order_relaxed);
  wait_set_.Wake();
}

}  // namespace pylabhub::recording
