// Tests shm/channel/wait.h: who spins, and who goes to sleep at once.
#include "shm/channel/wait.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

namespace pylabhub::shm {
namespace {

// In a file of its own: the answer is found once for a process, and this process is pinned before it is.
TEST(WaitTest, AProcessPinnedToOneCoreOfSeveralSpins) {
  if (sysconf(_SC_NPROCESSORS_ONLN) == 1) GTEST_SKIP() << "this machine has one processor";
  cpu_set_t allowed;
  ASSERT_EQ(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
  int core = 0;
  while (!CPU_ISSET(core, &allowed)) ++core;
  CPU_ZERO(&allowed);
  CPU_SET(core, &allowed);
  ASSERT_EQ(sched_setaffinity(0, sizeof(allowed), &allowed), 0);

  Wait wait({.spin = absl::InfiniteDuration()}, absl::Seconds(10));
  EXPECT_FALSE(wait.may_sleep());
  int looks = 0;
  EXPECT_TRUE(wait.Spin([&] { return ++looks == 1000; })) << "gave up after " << looks;
}

}  // namespace
}  // namespace pylabhub::shm
