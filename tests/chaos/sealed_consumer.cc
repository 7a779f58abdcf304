#include "tests/chaos/sealed_consumer.h"

#include <sys/socket.h>

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/chaos/payload.h"

namespace pylabhub::chaos {

using shm::ConsumerDescriptors;
using shm::DataBlockConsumer;
using shm::SegmentId;
using shm::SlotResult;

namespace {

constexpr absl::Duration kStepTime = absl::Milliseconds(20);
// The producer has looked at every part before a newcomer has had so many slots: from then on it waits for it.
constexpr uint32_t kSlotsToBeHeard = 6;

absl::Status Open(const ConsumerDescriptors& descriptors, std::unique_ptr<DataBlockConsumer>& consumer) {
  auto opened = DataBlockConsumer::OpenSealed(descriptors, {.wait = {.spin = absl::ZeroDuration()}});
  if (!opened.ok()) return opened.status();
  consumer = *std::move(opened);
  return absl::OkStatus();
}

}  // namespace

std::optional<ConsumerDescriptors> SealedConsumer::Ask(const SegmentId& after) {
  desk_.after.store(after);
  desk_.part.store(part_);
  desk_.asks.store(Books::kAsks);
  // It is to look here.
  send(socket_, "?", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
  while (desk_.asks.load() != Books::kToldNone) {
    auto received = shm::ReceiveSegment(socket_, kStepTime);
    if (received.ok()) return std::move(received->descriptors);
  }
  return std::nullopt;
}

int SealedConsumer::Consume() {
  std::unique_ptr<DataBlockConsumer> consumer;
  SegmentId after;
  // It had joined the segment before while that was written, so that its place is kept in the next.
  bool is_heir = false;
  for (;;) {
    const std::optional<ConsumerDescriptors> descriptors = Ask(after);
    if (!descriptors.has_value()) return 0;
    const bool follows = consumer != nullptr;
    const absl::Status attached = follows ? consumer->Follow(*descriptors) : Open(*descriptors, consumer);
    if (!attached.ok()) {
      // Its place is still kept for the one before, or its part was replaced just then.
      const bool comes_by_itself =
          absl::IsResourceExhausted(attached) || absl::IsFailedPrecondition(attached);
      if (follows || !comes_by_itself) {
        desk_.fault.Say(attached.ToString());
        return 20;
      }
      // Or it is kept for ever, in a segment whose producer is gone, for one that is dead.
      if (books_.over.load() != 0) return 0;
      absl::SleepFor(absl::Milliseconds(1));
      continue;
    }
    const SlotResult end = ReadAll(*consumer, follows && is_heir, is_heir);
    after = consumer->segment_id();
    if (!desk_.fault.empty()) return 21;
    if (end == SlotResult::kCutOff) after = SegmentId();
    // The guest comes as somebody else each time.
    if (end == SlotResult::kCutOff || (!stays_ && !shares())) consumer = nullptr;
  }
}

uint32_t SealedConsumer::IndexOf(const SegmentId& id) const {
  uint32_t index = 0;
  while (index < kSealedSegments && books_.segment[index].id.load() != id) ++index;
  return index;
}

SlotResult SealedConsumer::ReadAll(DataBlockConsumer& consumer, bool from_the_start, bool& got_any) {
  const uint32_t index = IndexOf(consumer.segment_id());
  // Who is evicted is given no more, from when it does not know.
  const bool counts = stays_ && shm::IsLossless(config_.policy) && !shares();
  std::optional<uint64_t> next;
  if (from_the_start && counts) next = 0;
  uint32_t got = 0;
  for (;;) {
    // Nothing may be missed, not even if it is told.
    const bool waited_for = counts && (from_the_start || got >= kSlotsToBeHeard);
    CheckZone(consumer);
    const SlotResult result = ReadOne(consumer, index, waited_for, next);
    if (result == SlotResult::kOk) ++got;
    got_any = got != 0;
    if (result == SlotResult::kOk || result == SlotResult::kTimeout) continue;
    const bool lost = waited_for && result != SlotResult::kCutOff && next.has_value() &&
                      *next < books_.segment[index].confirmed.load();
    if (lost) desk_.fault.Say(absl::StrCat("slots from ", *next, " on were lost"));
    return result;
  }
}

void SealedConsumer::CheckZone(const DataBlockConsumer& consumer) {
  std::vector<std::byte> zone(config_.zone_bytes);
  if (!consumer.ReadZone(zone).ok() || zone != std::vector<std::byte>(config_.zone_bytes, zone[0]))
    desk_.fault.Say("a torn zone");
}

SlotResult SealedConsumer::ReadOne(DataBlockConsumer& consumer, uint32_t index, bool waited_for,
                                   std::optional<uint64_t>& next) {
  shm::ReadSlot slot = consumer.Acquire(kStepTime);
  if (!slot) return slot.result();
  const std::optional<PayloadId> id = ReadPayload(slot.payload());
  const bool right = id.has_value() && id->generation == index + 1 && id->sequence == slot.sequence();
  if (slot.Release() == SlotResult::kOk && !right)
    desk_.fault.Say(absl::StrCat("slot ", slot.sequence(), " is torn"));
  if (!shares() && next.has_value() && (slot.sequence() < *next || (waited_for && slot.sequence() != *next)))
    desk_.fault.Say(absl::StrCat("slot ", slot.sequence(), " came after ", *next));
  if (slot.sequence() >= books_.segment[index].attempted.load()) desk_.fault.Say("a slot that nobody wrote");
  next = slot.sequence() + 1;
  books_.delivered.add(1);
  return SlotResult::kOk;
}

}  // namespace pylabhub::chaos
