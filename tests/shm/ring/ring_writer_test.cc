#include "shm/ring/ring_writer.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <thread>

#include "absl/time/clock.h"
#include "shm/os/futex.h"
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

// No stamp changes at the end: a consumer that has found nothing to read, and no end, and sleeps only after the wake would
// sleep to the end of its slice.
TEST_F(RingWriterTest, WhoIsAboutToSleepWhenTheChannelEndsIsWoken) {
  constexpr absl::Duration kSlice = absl::Milliseconds(100);
  constexpr std::chrono::microseconds kLate{20};
  constexpr int kRounds = 20;
  room_.Join(0);
  const auto* const stamp = At<std::atomic<uint64_t>>(segment_.base, segment_.geometry.cells_offset_bytes);
  std::atomic<uint64_t>& closed_at = segment_.header->wait.closed_at;
  int woken = 0;
  for (int round = 0; round < kRounds; ++round) {
    closed_at = 0;
    room_.entry(0).wait_state = kSleeping;
    const absl::Time begin = absl::Now();
    std::thread consumer([&] {
      while (closed_at == 0) continue;
      // It had looked before.
      const auto until = std::chrono::steady_clock::now() + kLate;
      while (std::chrono::steady_clock::now() < until) continue;
      FutexWait(LowHalf(*stamp), static_cast<uint32_t>(*stamp), kSlice);
      room_.entry(0).wait_state = kAwake;
    });
    writer_.Close();
    consumer.join();
    woken += absl::Now() - begin < kSlice ? 1 : 0;
  }
  EXPECT_GT(woken, kRounds / 2) << "a busy machine may let some of them come too late";
}

// One that says that it sleeps, and never does, holds nobody up.
TEST_F(RingWriterTest, TheEndDoesNotWaitForWhoOnlySaysThatItSleeps) {
  room_.Join(0);
  room_.entry(0).wait_state = kSleeping;
  const absl::Time begin = absl::Now();
  writer_.Close();
  EXPECT_LT(absl::Now() - begin, absl::Seconds(5));
}

}  // namespace
}  // namespace pylabhub::shm
