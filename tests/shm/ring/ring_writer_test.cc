#include "shm/ring/ring_writer.h"

#include <gtest/gtest.h>

#include <array>

#include "shm/segment/data_segment.h"
#include "tests/shm/control_room.h"
#include "tests/shm/segment_memory.h"

namespace pylabhub::shm {
namespace {

// A lossless producer of four slots whose consumers are played.
class RingWriterTest : public ::testing::Test {
 protected:
  static ChannelConfig Config() {
    return ChannelConfig{.channel = "writer.test", .capacity_slots = 4, .slot_bytes = 8, .max_consumers = 2}
        .WithDefaults();
  }

  void Write(int slots) {
    for (int i = 0; i < slots; ++i) {
      ASSERT_TRUE(writer_.TryAcquire());
      ASSERT_EQ(writer_.Commit(8), SlotResult::kOk);
    }
  }

  SegmentMemory memory_{DataFileBytes(Config())};
  ControlRoom room_{2};
  DataSegment segment_ = BuildData(memory_.bytes(), Config(), SegmentId::Random(), SegmentId{});
  RingWriter writer_{segment_, Config(), room_.roster()};
};

// Found by tests/fuzz. A joiner's first cursor may be old by the time that it is seen: the limit of what may be written goes
// down then, to below what is already written, and a batch took the difference for a very large number.
TEST_F(RingWriterTest, AJoinerWhoseFirstCursorIsOldMakesABatchWaitNotOverwrite) {
  room_.Join(0);
  Write(4);
  room_.entry(0).cursor = 4;
  Write(3);
  room_.entry(0).cursor = 5;
  room_.Join(1, /*cursor=*/2);
  EXPECT_FALSE(writer_.TryAcquireBatch(2)) << "prepared " << writer_.prepared_count();
  room_.entry(1).cursor = 6;
  ASSERT_TRUE(writer_.TryAcquireBatch(4));
  EXPECT_EQ(writer_.prepared_count(), 2u) << "the other one has read up to 5";
}

}  // namespace
}  // namespace pylabhub::shm
