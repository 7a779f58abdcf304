#include "shm/ring/ring_reader.h"

#include <gtest/gtest.h>

#include "shm/ring/ring_writer.h"
#include "shm/segment/data_segment.h"
#include "tests/shm/control_room.h"
#include "tests/shm/segment_memory.h"

namespace pylabhub::shm {
namespace {

// A segment whose producer may be told to lie.
class RingReaderTest : public ::testing::Test {
 protected:
  static ChannelConfig Config() {
    return ChannelConfig{.channel = "reader.test",
                         .policy = Policy::kPublishSubscribe,
                         .capacity_slots = 3,
                         .slot_bytes = 8,
                         .max_consumers = 1}
        .WithDefaults();
  }

  SlotDescriptor& Cell(uint32_t index) const {
    return *At<SlotDescriptor>(
        segment_.base, segment_.geometry.cells_offset_bytes + index * segment_.geometry.cell_stride_bytes);
  }
  DataView View() const {
    PublishData(memory_.bytes());
    return *ViewData(memory_.bytes());
  }

  SegmentMemory memory_{DataFileBytes(Config())};
  ControlRoom room_{1};
  DataSegment segment_ = BuildData(memory_.bytes(), Config(), SegmentId::Random(), SegmentId{});
};

// Found by tests/fuzz: a reader that followed such a head came to the last number there is, took a cell without a slot
// for the next one, and read the same cells for ever.
TEST_F(RingReaderTest, NumbersDoNotBeginAnewHoweverFarADamagedHeadIs) {
  segment_.header->progress.head = UINT64_MAX;
  Cell(2).stamp = UINT64_MAX;
  for (uint32_t cell = 0; cell < 3; ++cell) Cell(cell).chunk = kInlineChunk;
  RingReader reader(View(), &room_.entry(0), {.start = {.sequence = UINT64_MAX - 1}});
  uint64_t last = 0;
  for (int look = 0; look < 20; ++look) {
    SlotView slot;
    const SlotResult result = reader.TryAcquire(&slot);
    ASSERT_GE(reader.expected_sequence(), last);
    last = reader.expected_sequence();
    if (result == SlotResult::kOk) reader.Release();
  }
  EXPECT_LT(last, UINT64_MAX / 2 + 100);
}

}  // namespace
}  // namespace pylabhub::shm
