#include "tests/fuzz/segment_samples.h"

#include <algorithm>
#include <cstring>

#include "shm/ring/consumer_roster.h"
#include "shm/ring/ring_writer.h"
#include "shm/segment/control_segment.h"
#include "shm/segment/data_segment.h"
#include "tests/fuzz/require.h"

namespace pylabhub::fuzz {
namespace {

using ::pylabhub::shm::Buffering;
using ::pylabhub::shm::ChannelConfig;
using ::pylabhub::shm::Policy;
using ::pylabhub::shm::ScalarType;
using ::pylabhub::shm::SegmentId;
using ::pylabhub::shm::SegmentMemory;

constexpr uint64_t kInlineBytes = 24;
constexpr uint64_t kChunkedBytes = shm::kMaxInlineBytes + 8;
constexpr uint64_t kZoneBytes = 40;

shm::Schema Reading() {
  return {.name = "Reading",
          .record_bytes = 16,
          .fields = {{.name = "celsius", .type = ScalarType::kFloat64, .offset_bytes = 0, .unit = "Cel"},
                     {.name = "timestamp_ns", .type = ScalarType::kInt64, .offset_bytes = 8, .unit = "ns"}}};
}

}  // namespace

std::vector<ChannelConfig> SampleConfigs() {
  std::vector<ChannelConfig> configs;
  for (const Policy policy : {Policy::kLatestOnly, Policy::kPublishSubscribe, Policy::kSingleReader,
                              Policy::kSyncReader, Policy::kPipeline}) {
    for (const uint64_t slot_bytes : {kInlineBytes, kChunkedBytes}) {
      for (const uint32_t capacity : {1, 3}) {
        ChannelConfig config{
            .channel = "fuzz", .policy = policy, .capacity_slots = capacity, .slot_bytes = slot_bytes};
        config.buffering = capacity == 1 ? Buffering::kSingle : Buffering::kRingBuffer;
        config.schema = Reading();
        config.max_consumers = policy == Policy::kSingleReader ? 1 : 3;
        config.max_pins = 3;
        config.checksum = capacity == 1 ? shm::Checksum::kNone : shm::Checksum::kEnforced;
        if (slot_bytes == kInlineBytes) config.zone_bytes = kZoneBytes;
        configs.push_back(config.WithDefaults());
      }
    }
  }
  return configs;
}

SegmentMemory WrittenSegment(const ChannelConfig& config, uint64_t slots) {
  SegmentMemory memory(DataFileBytes(config));
  const shm::ControlShape shape = shm::ControlShape::Of(config);
  SegmentMemory control(shm::ControlFileBytes(shape));
  const SegmentId id{};
  const shm::DataSegment segment = BuildData(memory.bytes(), config, id, SegmentId{});
  // Nobody attends: a lossless producer does not wait either.
  shm::ConsumerRoster roster(shm::BuildControl(control.bytes(), shape, id), config.max_pins,
                             [](uint32_t) { return false; });
  shm::RingWriter writer(segment, config, roster);
  // But a group's slots wait for it.
  if (config.policy == Policy::kPipeline) slots = std::min<uint64_t>(slots, config.capacity_slots);
  for (uint64_t slot = 0; slot < slots; ++slot) {
    Require(writer.TryAcquire(), "a producer with no consumers can write");
    std::memset(writer.payload().data(), static_cast<int>(slot + 1), config.slot_bytes);
    writer.Commit(config.slot_bytes - slot % 8);
  }
  shm::PublishData(memory.bytes());
  return memory;
}

}  // namespace pylabhub::fuzz
