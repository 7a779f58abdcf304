// What the consumers of a ReferenceEpisode do: they read, and follow from one producer to the next.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "tests/shm/reference_episode.h"

namespace pylabhub::shm {

void ReferenceEpisode::Read(Attached& consumer) {
  if (consumer.holds()) {
    Release(consumer);
  } else {
    Acquire(consumer);
  }
}

void ReferenceEpisode::Acquire(Attached& consumer) {
  Generation& generation = *generations_[consumer.generation];
  SyncGone(generation);
  if (Failed()) return;
  WaitOutcome foreseen = WaitOutcome::kWoken;  // not asked
  // A look by the set moves who was overtaken on. If the next Acquire does not take what it was moved to, since it has a corrupt
  // slot to report or waits to be known, the model would not know when.
  const bool may_be_moved =
      (IsLossless(config_.policy) && !consumer.reference->in_place) || consumer.reference->corrupt_untold;
  if (!generation.reference.closed() && !may_be_moved)
    foreseen = consumer.alone.Wait(absl::ZeroDuration()).outcome;
  const size_t wanted = Roll(3) == 0 ? 1 + Roll(kMaxBatch + 1) : 1;
  if (consumer.reference->group.has_value()) {
    AcquireAsMember(consumer, wanted, foreseen);
  } else {
    AcquireForItself(consumer, wanted, foreseen);
  }
}

SlotResult ReferenceEpisode::AcquireSlots(Attached& consumer, size_t wanted, absl::Duration timeout,
                                          std::vector<SlotView>* views) {
  if (wanted == 1) {
    ReadSlot slot = consumer.block->Acquire(timeout);
    const SlotResult result = slot.result();
    if (!slot) return result;
    views->push_back(slot.view());
    consumer.slot.emplace(std::move(slot));
    return result;
  }
  ReadBatch batch = consumer.block->AcquireBatch(wanted, timeout);
  const SlotResult result = batch.result();
  if (!batch) return result;
  views->assign(batch.begin(), batch.end());
  consumer.batch.emplace(std::move(batch));
  return result;
}

SlotResult ReferenceEpisode::Otherwise(const Attached& consumer) {
  const ReferenceChannel& reference = generations_[consumer.generation]->reference;
  return reference.closed() && reference.IsDrained(*consumer.reference) ? SlotResult::kProducerClosed
                                                                        : SlotResult::kTimeout;
}

void ReferenceEpisode::CheckSlot(const SlotView& view, const Answer& expected) {
  ASSERT_EQ(view.sequence, expected.sequence);
  ASSERT_EQ(view.missed_slots, expected.missed_slots);
  ASSERT_EQ(view.redelivered, expected.redelivered);
  ++counts_.read;
  counts_.missed += view.missed_slots;
  counts_.redelivered += view.redelivered ? 1 : 0;
}

void ReferenceEpisode::AcquireForItself(Attached& consumer, size_t wanted, WaitOutcome foreseen) {
  ReferenceChannel& reference = generations_[consumer.generation]->reference;
  std::vector<SlotView> views;
  const SlotResult result = AcquireSlots(consumer, wanted, absl::ZeroDuration(), &views);
  const Answer first = reference.Take(*consumer.reference, /*first=*/true);
  ASSERT_EQ(result, first.result == SlotResult::kTimeout ? Otherwise(consumer) : first.result);
  if (foreseen != WaitOutcome::kWoken) {
    ASSERT_EQ(foreseen, result == SlotResult::kTimeout ? WaitOutcome::kTimeout : WaitOutcome::kReady);
  }
  counts_.timeouts += result == SlotResult::kTimeout ? 1 : 0;
  counts_.corrupt += result == SlotResult::kCorrupt ? 1 : 0;
  if (result == SlotResult::kProducerClosed) return Follow(consumer);
  if (result != SlotResult::kOk) return;
  consumer.held.push_back(first);
  const size_t room =
      consumer.reference->order == ReadOrder::kLatest ? 1 : std::min<size_t>(wanted, kMaxBatch);
  while (consumer.held.size() < room) {
    const Answer next = reference.Take(*consumer.reference, /*first=*/false);
    consumer.reference->corrupt_untold = next.result == SlotResult::kCorrupt;
    if (next.result != SlotResult::kOk) break;
    consumer.held.push_back(next);
  }
  ASSERT_EQ(views.size(), consumer.held.size());
  for (size_t i = 0; i < views.size(); ++i) CheckSlot(views[i], consumer.held[i]);
  CheckHeld(consumer);
}

// Who of a group gets which of the slots that the dead have left is not told; all else is.
void ReferenceEpisode::AcquireAsMember(Attached& consumer, size_t wanted, WaitOutcome foreseen) {
  ReferenceChannel& reference = generations_[consumer.generation]->reference;
  ReferenceConsumer& member = *consumer.reference;
  const size_t group = *member.group;
  const bool untold = std::exchange(member.corrupt_untold, false);
  const bool fresh = reference.FindFresh(group).has_value();
  // For those, somebody has to ask the kernel.
  const bool waits = !untold && !fresh && reference.AnyAbandoned(group);
  std::vector<SlotView> views;
  const SlotResult result = AcquireSlots(consumer, wanted, waits ? kPatience : absl::ZeroDuration(), &views);
  // What a set has seen may be another member's by now; what it has not seen was not there.
  ASSERT_TRUE(foreseen != WaitOutcome::kTimeout || waits || result == SlotResult::kTimeout);
  counts_.timeouts += result == SlotResult::kTimeout ? 1 : 0;
  counts_.corrupt += result == SlotResult::kCorrupt ? 1 : 0;
  if (untold) {
    ASSERT_EQ(result, SlotResult::kCorrupt);
    return;
  }
  for (const SlotView& view : views) {
    const std::optional<uint64_t> oldest = reference.FindFresh(group);
    ASSERT_TRUE(view.sequence == oldest || reference.IsAbandoned(group, view.sequence))
        << "slot " << view.sequence << " is somebody else's, or was done, or came too early";
    consumer.held.push_back(reference.Claim(member, view.sequence));
    ASSERT_EQ(consumer.held.back().result, SlotResult::kOk) << "slot " << view.sequence << " is corrupt";
    CheckSlot(view, consumer.held.back());
  }
  const std::optional<uint64_t> oldest = reference.FindFresh(group);
  if (result == SlotResult::kOk) {
    if (views.size() < std::min<size_t>(wanted, kMaxBatch) && oldest.has_value()) {
      ASSERT_EQ(reference.Claim(member, *oldest).result, SlotResult::kCorrupt) << "it was left out";
      member.corrupt_untold = true;
    }
    CheckHeld(consumer);
  } else if (oldest.has_value()) {
    ASSERT_EQ(result, SlotResult::kCorrupt);
    ASSERT_EQ(reference.Claim(member, *oldest).result, SlotResult::kCorrupt);
  } else {
    ASSERT_FALSE(waits) << "what the dead held was not found";
    ASSERT_EQ(result, Otherwise(consumer));
    if (result == SlotResult::kProducerClosed) Follow(consumer);
  }
}

void ReferenceEpisode::CheckHeld(const Attached& consumer) {
  for (size_t i = 0; i < consumer.held.size(); ++i) {
    const auto payload = consumer.slot ? consumer.slot->payload() : (*consumer.batch)[i].payload;
    ASSERT_EQ(payload.size(), consumer.held[i].payload.size());
    ASSERT_TRUE(payload.empty() ||
                std::memcmp(payload.data(), consumer.held[i].payload.data(), payload.size()) == 0)
        << "slot " << consumer.held[i].sequence << " is not what was committed, or has changed";
  }
}

void ReferenceEpisode::Release(Attached& consumer) {
  // Whatever was written meanwhile.
  CheckHeld(consumer);
  ASSERT_EQ(consumer.slot ? consumer.slot->Release() : consumer.batch->Release(), SlotResult::kOk);
  consumer.slot.reset();
  consumer.batch.reset();
  consumer.held.clear();
  generations_[consumer.generation]->reference.Release(*consumer.reference);
}

// True if the last producer is gone, and the consumer's group has nothing to read of generation `first` and the later ones.
// Their segments may be gone then: no place in them was kept for a member that joined an earlier one after they were made.
bool ReferenceEpisode::IsDrainedFrom(size_t first, const ReferenceConsumer& consumer) const {
  if (producer_ != nullptr || !consumer.group.has_value()) return false;
  return std::all_of(generations_.begin() + static_cast<ptrdiff_t>(first), generations_.end(),
                     [&](const auto& generation) { return generation->reference.AllDone(*consumer.group); });
}

void ReferenceEpisode::Follow(Attached& consumer) {
  const absl::Status status = consumer.block->Follow(absl::ZeroDuration());
  const size_t next = consumer.generation + 1;
  if (next == generations_.size()) {
    ASSERT_TRUE(absl::IsDeadlineExceeded(status)) << status;
    return;
  }
  if (!status.ok() && IsDrainedFrom(next, *consumer.reference)) {
    ASSERT_TRUE(absl::IsDeadlineExceeded(status)) << status;
    return;
  }
  ASSERT_TRUE(status.ok()) << status;
  size_t arrived = next;
  while (arrived < generations_.size() && generations_[arrived]->segment_id != consumer.block->segment_id())
    ++arrived;
  ASSERT_LT(arrived, generations_.size());
  ReferenceConsumer& before = *consumer.reference;
  // A member passes over what its group has read; nobody else passes over anything.
  for (size_t passed = next; passed < arrived; ++passed) {
    ASSERT_TRUE(before.group.has_value() && generations_[passed]->reference.AllDone(*before.group));
    if (consumer.kept[passed] != nullptr) consumer.kept[passed]->gone = true;
    consumer.kept[passed].reset();
  }
  generations_[consumer.generation]->reference.Leave(consumer.reference);
  consumer.generation = arrived;
  consumer.reference = std::move(consumer.kept[arrived]);
  // A member that has come to an earlier producer's segment has no place in the later ones.
  if (consumer.reference == nullptr)
    consumer.reference = JoinReference(generations_[arrived]->reference, consumer.options);
  generations_[arrived]->reference.Arrive(*consumer.reference);
  ++counts_.followed;
}

}  // namespace pylabhub::shm
