#include "client/recording/batch_queue.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace pylabhub::recording {
namespace {

Batch BatchOf(size_t channel, size_t bytes) {
  Batch batch = {.channel = channel};
  batch.records.resize(bytes);
  return batch;
}

TEST(BatchQueueTest, BatchesComeInTheirOrderAndThenItIsFinished) {
  BatchQueue queue(1000);
  EXPECT_TRUE(queue.Push(BatchOf(1, 10)));
  EXPECT_TRUE(queue.Push(BatchOf(2, 20)));
  queue.Close();
  EXPECT_EQ(queue.bytes(), 30);
  EXPECT_EQ(queue.Pop(absl::ZeroDuration())->channel, 1);
  EXPECT_FALSE(queue.Finished());
  EXPECT_EQ(queue.Pop(absl::ZeroDuration())->channel, 2);
  EXPECT_TRUE(queue.Finished());
  EXPECT_FALSE(queue.Pop(absl::InfiniteDuration()).has_value());
}

TEST(BatchQueueTest, WhoPushesIntoAFullQueueWaitsForRoom) {
  BatchQueue queue(100);
  EXPECT_TRUE(queue.Push(BatchOf(1, 200)));
  std::atomic<bool> pushed = false;
  std::thread pusher([&] {
    EXPECT_TRUE(queue.Push(BatchOf(2, 10)));
    pushed = true;
  });
  EXPECT_FALSE(pushed);
  EXPECT_EQ(queue.Pop(absl::InfiniteDuration())->channel, 1);
  EXPECT_EQ(queue.Pop(absl::InfiniteDuration())->channel, 2);
  pusher.join();
  EXPECT_TRUE(pushed);
}

TEST(BatchQueueTest, WhoWaitsForRoomIsToldThatNobodyWritesAnyMore) {
  BatchQueue queue(100);
  EXPECT_TRUE(queue.Push(BatchOf(1, 200)));
  std::thread pusher([&] { EXPECT_FALSE(queue.Push(BatchOf(2, 10))); });
  queue.Abandon();
  pusher.join();
}

TEST(BatchQueueTest, MemoryThatWasWrittenIsUsedAgain) {
  BatchQueue queue(100);
  Batch batch = BatchOf(1, 64);
  const std::byte* const memory = batch.records.data();
  queue.Recycle(std::move(batch));
  const Batch fresh = queue.Fresh(3);
  EXPECT_TRUE(fresh.empty());
  EXPECT_EQ(fresh.channel, 3);
  EXPECT_EQ(fresh.records.data(), memory);
}

}  // namespace
}  // namespace pylabhub::recording
