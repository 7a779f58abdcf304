// Opens a data segment of arbitrary bytes, as a consumer does, and reads from it until it says nothing more, while its
// bytes go on changing.
//
// The input is a program: a real segment to begin with, how much of it is there, then steps that write into it or read
// from it. What is written before the first reading must be found by ViewData, or do no harm; what is written after it
// is what a producer gone wrong does to a consumer that is attached. Sample 255 is none: the rest of the input is the
// file.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "shm/read_order.h"
#include "shm/ring/group_claims.h"
#include "shm/ring/ring_reader.h"
#include "shm/ring/zone.h"
#include "shm/segment/control_segment.h"
#include "shm/segment/data_segment.h"
#include "shm/segment/layout.h"
#include "tests/fuzz/data_spoiler.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/require.h"
#include "tests/fuzz/segment_samples.h"
#include "tests/shm/segment_memory.h"

namespace pylabhub::fuzz {
namespace {

using ::pylabhub::shm::ControlShape;
using ::pylabhub::shm::DataView;
using ::pylabhub::shm::ReadOrder;
using ::pylabhub::shm::SegmentMemory;
using ::pylabhub::shm::SlotResult;
using ::pylabhub::shm::Touch;

constexpr uint8_t kNoSample = 255;
constexpr uint8_t kTruncated = 250;  // a second byte of so much or more: the file is too short
constexpr int kMaxSteps = 200;
constexpr uint32_t kMaxBatch = 3;

const std::vector<SegmentMemory>& Samples() {
  static const auto* const samples = [] {
    auto* made = new std::vector<SegmentMemory>;
    for (const shm::ChannelConfig& config : SampleConfigs()) {
      for (const uint64_t slots : {0, 2, 7}) made->push_back(WrittenSegment(config, slots));
    }
    return made;
  }();
  return *samples;
}

// A consumer's part in a segment, and what it may be told there.
class Reading {
 public:
  Reading(const DataView& view, ReadOrder order, uint64_t start)
      : view_(view),
        order_(order),
        control_memory_(ControlFileBytes(ControlShape::Of(view.config))),
        reader_(view_, Activated(&entry_), SetupOf(start)),
        next_(reader_.expected_sequence()) {}

  // Up to `slots` of them. False if there was nothing to read.
  bool Acquire(size_t slots) {
    Release();
    size_t taken = 0;
    const SlotResult result = reader_.TryAcquireBatch(std::span(slots_).first(slots), &taken);
    if (result == SlotResult::kTimeout || result == SlotResult::kCutOff) return false;
    Require(result == SlotResult::kOk || result == SlotResult::kCorrupt,
            "there is a slot, a corrupt one or none");
    Require((taken != 0) == (result == SlotResult::kOk) && taken <= slots,
            "as many are taken as were asked for");
    Require(is_member() || reader_.expected_sequence() >= next_, "a reader never goes back");
    held_ = std::span(slots_).first(taken);
    for (const shm::SlotView& slot : held_) {
      Require(is_member() || slot.sequence == next_ + slot.missed_slots,
              "a number is the next one but for those missed");
      Require(slot.payload.size() <= view_.config.slot_bytes, "no payload is longer than a slot");
      next_ = slot.sequence + 1;
      sum_ += Touch(slot.payload) + static_cast<uint64_t>(slot.timestamp_ns);
    }
    return true;
  }
  void Release() {
    if (!reader_.holding()) return;
    for (const shm::SlotView& slot : held_) sum_ += Touch(slot.payload);
    const SlotResult result = reader_.Release();
    Require(result == SlotResult::kOk || result == SlotResult::kOverrun,
            "what is given back was whole or was not");
  }
  void LookAround() {
    Release();
    sum_ += reader_.head() + (reader_.drained() ? 1 : 0) + (reader_.NothingWillCome() ? 1 : 0);
    sum_ += (reader_.IsReady() ? 1 : 0) + (reader_.LookBack() ? 1 : 0);
    reader_.BeginSleep();
    sum_ += reader_.expected_stamp().load() + (reader_.WasPassed() ? 1 : 0);
    reader_.EndSleep(/*told=*/true);
    if (view_.config.zone_bytes != 0) ReadZone();
  }
  // Nothing changes any more, so there is an end.
  void Drain() {
    const uint64_t most = 4 * uint64_t{view_.geometry.capacity_slots} + 4;
    for (uint64_t looks = 0; Acquire(1); ++looks)
      Require(looks < most, "nobody reads for ever what does not change");
  }
  uint64_t sum() const { return sum_; }

 private:
  static shm::ConsumerEntry* Activated(shm::ConsumerEntry* entry) {
    entry->state = StateOf(1, shm::Phase::kActive);
    return entry;
  }

  void ReadZone() {
    const shm::ZoneReader zone(view_);
    std::vector<std::byte> target(view_.config.zone_bytes);
    sum_ += zone.version() + zone.Read(target).value_or(0) + Touch(target);
  }

  // Of a pipeline, a reader of every slot is the only member of a group: it looks back for what others did not live to
  // read, and passes over what is not there.
  bool is_member() const { return !view_.config.groups.empty() && order_ == ReadOrder::kNext; }

  shm::ReaderSetup SetupOf(uint64_t start) const {
    shm::ReaderSetup setup{.order = order_, .start = {.sequence = start}, .max_batch = kMaxBatch};
    if (!is_member()) return setup;
    const shm::ControlView control =
        BuildControl(control_memory_.bytes(), ControlShape::Of(view_.config), {});
    setup.member.emplace(control, /*group=*/0, /*place=*/0, [](uint32_t) { return true; });
    return setup;
  }

  DataView view_;
  ReadOrder order_;
  shm::ConsumerEntry entry_{};
  SegmentMemory control_memory_;
  shm::RingReader reader_;
  uint64_t next_;  // the number that it may be given next, at the least
  std::array<shm::SlotView, kMaxBatch> slots_;
  std::span<const shm::SlotView> held_;
  uint64_t sum_ = 0;  // of all that was read, so that no reading can be left out
};

std::optional<DataView> Open(const SegmentMemory& memory) {
  const absl::StatusOr<DataView> view = shm::ViewData(memory.bytes());
  if (!view.ok()) {
    Require(absl::IsFailedPrecondition(view.status()) && !view.status().message().empty(),
            "a refusal says why");
    return std::nullopt;
  }
  Require(view->config.Validate().ok(), "what opens has a config that a producer could have had");
  for (const shm::PlaceRecord& place : view->places()) {
    Require(place.Expected() != shm::kReservationTaken, "a place is kept for a consumer or is not");
  }
  return *view;
}

uint64_t StartIn(const DataView& view, ReadOrder order) {
  const uint64_t head = view.header->progress.head.load();
  if (order == ReadOrder::kLatest) return head > 0 ? head - 1 : 0;
  return head - std::min<uint64_t>(head, view.geometry.capacity_slots);
}

uint64_t ReadAll(const SegmentMemory& memory, ReadOrder order) {
  const std::optional<DataView> view = Open(memory);
  if (!view.has_value()) return 0;
  Reading reading(*view, order, StartIn(*view, order));
  reading.Drain();
  return reading.sum();
}

// Steps: write, or read; the first that reads opens the segment.
uint64_t SpoilAndRead(const SegmentMemory& memory, ReadOrder order, Input& input) {
  const DataSpoiler spoiler(memory);
  std::optional<Reading> reading;
  for (int step = 0; step < kMaxSteps && !input.empty(); ++step) {
    const uint8_t what = input.Byte() % 4;
    if (what < 2) {
      spoiler.Step(input);
      continue;
    }
    if (!reading.has_value()) {
      const std::optional<DataView> view = Open(memory);
      if (!view.has_value()) return 0;
      reading.emplace(*view, order, StartIn(*view, order));
    }
    if (what == 2) reading->Acquire(1 + input.Byte() % kMaxBatch);
    if (what == 3) reading->LookAround();
  }
  if (!reading.has_value()) return ReadAll(memory, order);
  reading->Drain();
  return reading->sum();
}

uint64_t Run(Input input) {
  const uint8_t first = input.Byte();
  if (first == kNoSample) return ReadAll(SegmentMemory(std::as_bytes(input.rest())), ReadOrder::kNext);
  const ReadOrder order = first % 2 == 0 ? ReadOrder::kNext : ReadOrder::kLatest;
  const std::span<const std::byte> sample = Samples()[first / 2 % Samples().size()].bytes();
  if (input.Byte() < kTruncated) {
    const SegmentMemory memory(sample);
    return SpoilAndRead(memory, order, input);
  }
  const size_t missing_bytes = std::min<size_t>(input.Number(2), sample.size());
  return ReadAll(SegmentMemory(sample, sample.size() - missing_bytes), order);
}

}  // namespace
}  // namespace pylabhub::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
  volatile uint64_t sum = pylabhub::fuzz::Run(pylabhub::fuzz::Input(data, bytes));
  (void)sum;
  return 0;
}
