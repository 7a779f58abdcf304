#include "tests/chaos/shape.h"

#include "absl/strings/str_cat.h"

namespace pylabhub::chaos {
namespace {

using shm::Policy;

const char* NameOf(Script script) {
  switch (script) {
    case Script::kPlain:
      return "plain";
    case Script::kRefusal:
      return "refusal";
    case Script::kDoorway:
      return "doorway";
    case Script::kLap:
      return "lap";
    case Script::kFutileWake:
      return "futile_wake";
    case Script::kCalm:
      return "calm";
    case Script::kPins:
      return "pins";
    case Script::kDamage:
      return "damage";
    case Script::kBatch:
      return "batch";
    case Script::kDropped:
      return "dropped";
    case Script::kCutOff:
      return "cut_off";
    case Script::kHeldByDead:
      return "held_by_dead";
    case Script::kZone:
      return "zone";
    case Script::kHandedOver:
      return "handed_over";
    case Script::kJanitor:
      return "janitor";
  }
  return "";
}

}  // namespace

std::string NameOf(const Shape& shape) {
  return absl::StrCat(std::string(shm::NameOf(shape.policy)), " ", shape.capacity_slots, " x ",
                      shape.slot_bytes, " ", NameOf(shape.script));
}

std::vector<Shape> AllShapes() {
  using shm::Buffering;
  constexpr uint64_t kInline = 200;
  constexpr uint64_t kChunk = 8192;
  std::vector<Shape> shapes;
  for (Policy policy : {Policy::kLatestOnly, Policy::kPublishSubscribe, Policy::kSingleReader,
                        Policy::kSyncReader, Policy::kPipeline}) {
    for (uint64_t slot_bytes : {kInline, kChunk}) {
      shapes.push_back({policy, Buffering::kRingBuffer, 4, slot_bytes});
      shapes.push_back({policy, Buffering::kDoubleBuffer, 2, slot_bytes});
      shapes.push_back({policy, Buffering::kSingle, 1, slot_bytes});
      shapes.push_back({policy, Buffering::kRingBuffer, 8, slot_bytes, Script::kDamage});
      shapes.push_back({policy, Buffering::kRingBuffer, 8, slot_bytes, Script::kBatch});
      shapes.push_back({policy, Buffering::kRingBuffer, 4, slot_bytes, Script::kJanitor});
      shapes.push_back({policy, Buffering::kRingBuffer, 4, slot_bytes, Script::kFutileWake});
    }
    shapes.push_back({policy, Buffering::kRingBuffer, 4, kInline, Script::kRefusal});
    shapes.push_back({policy, Buffering::kRingBuffer, 4, kInline, Script::kDoorway});
    shapes.push_back({policy, Buffering::kRingBuffer, 4, kInline, Script::kZone});
    if (policy != Policy::kSingleReader) {
      shapes.push_back({policy, Buffering::kRingBuffer, 4, kInline, Script::kHandedOver});
      shapes.push_back({policy, Buffering::kRingBuffer, 4, kChunk, Script::kHandedOver});
    }
    if (policy == Policy::kPipeline) {
      shapes.push_back({policy, Buffering::kRingBuffer, 4, kInline, Script::kHeldByDead});
      shapes.push_back({policy, Buffering::kRingBuffer, 4, kChunk, Script::kHeldByDead});
    }
    if (policy == Policy::kSyncReader) {
      for (Script script : {Script::kDropped, Script::kCutOff}) {
        shapes.push_back({policy, Buffering::kRingBuffer, 4, kInline, script});
        shapes.push_back({policy, Buffering::kRingBuffer, 4, kChunk, script});
      }
    }
    if (shm::IsLossless(policy)) {
      shapes.push_back({policy, Buffering::kRingBuffer, 64, kInline, Script::kCalm});
      continue;
    }
    shapes.push_back({policy, Buffering::kRingBuffer, 4, kInline, Script::kLap});
    shapes.push_back({policy, Buffering::kRingBuffer, 4, kChunk, Script::kLap});
    shapes.push_back({policy, Buffering::kRingBuffer, 4, kChunk, Script::kPins});
  }
  return shapes;
}

}  // namespace pylabhub::chaos
