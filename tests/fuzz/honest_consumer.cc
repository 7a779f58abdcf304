#include "tests/fuzz/honest_consumer.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "tests/fuzz/require.h"

namespace pylabhub::fuzz {

using ::pylabhub::shm::SlotResult;
using ::pylabhub::shm::SlotView;

HonestConsumer::HonestConsumer(const shm::DataView& view, shm::ConsumerEntry* entry, shm::ReaderSetup setup,
                               const std::vector<size_t>& committed_bytes)
    : committed_bytes_(committed_bytes),
      is_member_(setup.member.has_value()),
      reader_(view, entry, std::move(setup)),
      next_(reader_.expected_sequence()),
      released_below_(next_) {}

void HonestConsumer::Acquire(size_t slots) {
  if (reader_.holding()) return;
  size_t taken = 0;
  const SlotResult result = reader_.TryAcquireBatch(std::span(slots_).first(slots), &taken);
  if (result == SlotResult::kTimeout || (result == SlotResult::kCutOff && !is_spared_)) return;
  Require(result == SlotResult::kOk, "a producer that lives commits no corrupt slot");
  held_ = std::span(slots_).first(taken);
  for (const SlotView& slot : held_) {
    // A member of a group is given again what others had, if they die.
    if (!is_member_ || is_spared_)
      Require(slot.sequence == next_ + slot.missed_slots, "a number is the next one but for those missed");
    Require(slot.missed_slots == 0 || slot.sequence <= may_miss_below_ || !is_spared_, "nothing is lost");
    Require(slot.sequence < committed_bytes_.size(), "nothing is read that was not written");
    Require(IsRight(slot), "a slot is right when it is acquired");
    next_ = slot.sequence + 1;
  }
}

void HonestConsumer::Release(bool stays) {
  if (!reader_.holding()) return;
  const bool right =
      std::all_of(held_.begin(), held_.end(), [this](const SlotView& slot) { return IsRight(slot); });
  const SlotResult result = reader_.Release();
  held_ = {};
  released_below_ = next_;
  Require(right || result == SlotResult::kOverrun, "wrong data does not pass unnoticed");
  Require(result == SlotResult::kOk || !is_spared_ || !stays, "what is held stays");
}

bool HonestConsumer::IsRight(const SlotView& slot) const {
  const auto filler = static_cast<std::byte>(FillerOf(slot.sequence));
  return slot.payload.size() == committed_bytes_[slot.sequence] &&
         std::all_of(slot.payload.begin(), slot.payload.end(),
                     [=](std::byte byte) { return byte == filler; });
}

void HonestConsumer::Sleep() {
  if (reader_.holding()) return;
  reader_.LookBack();
  reader_.BeginSleep();
  reader_.WasPassed();
  Acquire(1);
  reader_.EndSleep(/*told=*/true);
}

void HonestConsumer::ReadToTheEnd(uint64_t end) {
  while (Acquire(1), reader_.holding()) Release(/*stays=*/false);
  Require(!is_spared_ || reader_.expected_sequence() == end, "an honest consumer reads to the end");
}

void HonestConsumer::LearnOfTheEnd() const {
  Require(!is_spared_ || reader_.drained(), "and is told that it is the end");
}

bool Produce(shm::RingWriter& writer, uint64_t slot_bytes, Input& input, std::vector<size_t>& committed_bytes,
             const std::function<void(uint64_t end)>& acquired) {
  const uint64_t first = writer.next_sequence();
  const size_t slots = 1 + input.Byte() % kMaxBatch;
  if (!(slots == 1 ? writer.TryAcquire() : writer.TryAcquireBatch(slots))) return false;
  const uint64_t end = first + writer.prepared_count();
  Require(end <= first + slots, "no more are prepared than were asked for");
  acquired(end);
  std::vector<size_t> sizes;
  for (uint32_t i = 0; i < writer.prepared_count(); ++i) {
    std::memset(writer.payload(i).data(), FillerOf(first + i), writer.payload(i).size());
    sizes.push_back(input.Number(2) % (slot_bytes + 2));
  }
  const bool too_large =
      std::any_of(sizes.begin(), sizes.end(), [&](size_t bytes) { return bytes > slot_bytes; });
  // Before the commit: the consumer may look from then on.
  if (!too_large) committed_bytes.insert(committed_bytes.end(), sizes.begin(), sizes.end());
  const SlotResult result = slots == 1 ? writer.Commit(sizes[0]) : writer.CommitBatch(sizes);
  Require(result == (too_large ? SlotResult::kTooLarge : SlotResult::kOk), "a slot has its size");
  Require(writer.next_sequence() == committed_bytes.size(), "a slot that was not committed has no number");
  return true;
}

}  // namespace pylabhub::fuzz
