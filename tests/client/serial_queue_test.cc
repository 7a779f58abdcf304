#include "client/serial_queue.h"

#include <vector>

#include "gtest/gtest.h"

namespace pylabhub {
namespace {

TEST(SerialQueueTest, TasksRunInTheirOrderAndAllRunBeforeTheDestructorReturns) {
  std::vector<int> ran;
  {
    SerialQueue queue;
    for (int i = 0; i < 1000; ++i) queue.Add([&ran, i] { ran.push_back(i); });
  }
  ASSERT_EQ(ran.size(), 1000u);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(ran[i], i);
}

TEST(SerialQueueTest, TaskMayAddTasks) {
  std::vector<int> ran;
  {
    SerialQueue queue;
    queue.Add([&] {
      ran.push_back(1);
      queue.Add([&] { ran.push_back(2); });
    });
  }
  EXPECT_EQ(ran, (std::vector<int>{1, 2}));
}

TEST(SerialQueueTest, TaskKnowsThatItRunsInTheQueue) {
  bool inside = false;
  {
    SerialQueue queue;
    queue.Add([&] { inside = queue.IsCurrentThread(); });
    EXPECT_FALSE(queue.IsCurrentThread());
  }
  EXPECT_TRUE(inside);
}

}  // namespace
}  // namespace pylabhub
