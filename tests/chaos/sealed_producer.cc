#include "tests/chaos/sealed_producer.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "shm/os/descriptor_passing.h"
#include "tests/chaos/payload.h"

namespace pylabhub::chaos {

using shm::DataBlockProducer;
using shm::HandedOver;
using shm::SegmentDescriptors;
using shm::SegmentId;
using shm::SlotResult;

namespace {

constexpr absl::Duration kPatience = absl::Seconds(30);
constexpr uint32_t kSlots = 40;
constexpr uint32_t kRenewAt = 10;
constexpr uint32_t kMoveOnAt = 20;

bool PutZone(DataBlockProducer& producer) {
  const std::vector<std::byte> zone(producer.config().zone_bytes,
                                    static_cast<std::byte>(producer.next_sequence() + 1));
  return producer.WriteZone(zone).ok();
}

}  // namespace

bool SealedProducer::HandOver(const HandedOver& segment) {
  const uint32_t index = books_.segments.add(1);
  if (index >= kSealedSegments) return false;
  books_.segment[index].id.store(segment.segment_id);
  current_ = index;
  return SendWholeSegment(socket_, segment.descriptors, segment.segment_id.ToHex(), kPatience).ok();
}

int SealedProducer::Produce(uint32_t predecessors) {
  Text& fault = desk_.fault;
  std::vector<SegmentDescriptors> chain;
  for (uint32_t i = 0; i < predecessors; ++i) {
    auto received = shm::ReceiveWholeSegment(socket_, kPatience);
    if (!received.ok()) return 10;
    chain.push_back(std::move(received->descriptors));
  }
  auto created = DataBlockProducer::CreateSealed(config_, {.spin = absl::ZeroDuration()}, chain);
  chain.clear();
  if (!created.ok()) {
    fault.Say(created.status().ToString());
    return 11;
  }
  DataBlockProducer& producer = **created;
  if (!HandOver(*producer.DuplicateDescriptors())) return 12;
  for (uint32_t i = 0; i < kSlots; ++i) {
    if (i == kRenewAt && !shares() && !RenewGuest(producer)) return 13;
    if (i == kMoveOnAt) MoveOn(producer);
    if (i % 5 == 0 && !PutZone(producer)) return 14;
    if (const SlotResult result = Put(producer); result != SlotResult::kOk) {
      fault.Say(absl::StrCat("slot ", i, ": ", std::string(shm::NameOf(result))));
      return 15;
    }
  }
  return 0;
}

bool SealedProducer::RenewGuest(DataBlockProducer& producer) const {
  const auto renewed = producer.RenewParts(SegmentId(), std::vector<uint32_t>{kGuestPart});
  if (!renewed.ok()) return false;
  const int descriptor = renewed->descriptors[0].get();
  return shm::SendParcel(part_socket_, {&descriptor, 1}, renewed->segment_id.ToHex(), kPatience).ok();
}

void SealedProducer::MoveOn(DataBlockProducer& producer) {
  std::vector<uint32_t> except;
  if (!shares()) except.push_back(kGuestPart);
  producer.RequestMoveOn(except, [this](const absl::StatusOr<HandedOver>& successor) {
    if (!successor.ok() || !HandOver(*successor))
      desk_.fault.Say(absl::StrCat("did not move on: ", successor.status().ToString()));
  });
}

SlotResult SealedProducer::Put(DataBlockProducer& producer) {
  shm::WriteSlot slot = producer.Acquire(kPatience);
  if (!slot) return slot.result();
  // It may have moved on only now.
  Books::Segment& book = books_.segment[current_];
  const PayloadId id{.generation = current_ + 1, .sequence = producer.next_sequence()};
  BeginPayload(slot.payload(), id);
  FinishPayload(slot.payload(), id);
  book.attempted.store(id.sequence + 1);
  const SlotResult result = slot.Commit(slot.payload().size());
  if (result == SlotResult::kOk) book.confirmed.store(id.sequence + 1);
  return result;
}

}  // namespace pylabhub::chaos
