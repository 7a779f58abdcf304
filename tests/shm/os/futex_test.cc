#include "shm/os/futex.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "shm/os/mapping.h"
#include "tests/support/child_process.h"
#include "tests/support/shm_folder.h"

namespace pylabhub::shm {
namespace {

using ::pylabhub::testing::ChildProcess;

constexpr absl::Duration kPatience = absl::Seconds(20);

TEST(FutexTest, AWordThatHasChangedIsNotSleptOn) {
  const uint32_t word = 1;
  const absl::Time start = absl::Now();
  FutexWait(&word, 0, kPatience);
  EXPECT_LT(absl::Now() - start, kPatience / 2);
}

TEST(FutexTest, ASleepEndsAtItsDeadlineAndANegativeOneAtOnce) {
  const uint32_t word = 0;
  FutexWait(&word, 0, absl::Milliseconds(1));
  FutexWait(&word, 0, absl::ZeroDuration());
  FutexWait(&word, 0, -absl::Seconds(1));
  EXPECT_EQ(FutexWakeAll(&word), 0) << "nobody sleeps any more";
}

TEST(FutexTest, EverySleeperIsWokenAndCounted) {
  std::atomic<uint32_t> word = 0;
  const auto* plain = reinterpret_cast<const uint32_t*>(&word);
  const auto sleep = [&] {
    // The kernel looks at the word: a change before the sleep begins is not slept through.
    while (word.load() == 0) FutexWait(plain, 0, kPatience);
  };
  std::thread first(sleep);
  std::thread second(sleep);
  // Wakes without a change send them back to sleep: two at once shows that both sleep.
  while (FutexWakeAll(plain) != 2) std::this_thread::yield();
  word = 1;
  FutexWakeAll(plain);
  first.join();
  second.join();
}

TEST(FutexTest, ASleepOnManyWordsEndsWithEachOfThemAndAtItsDeadline) {
  std::atomic<uint32_t> words[kMaxFutexWords] = {};
  std::vector<FutexWord> slept_on;
  for (const auto& word : words) slept_on.push_back({.word = reinterpret_cast<const uint32_t*>(&word)});
  if (FutexWaitAny(slept_on, absl::Milliseconds(1)) == FutexAny::kRefused)
    GTEST_SKIP() << "this system refuses futex_waitv";
  for (auto& word : words) {
    std::thread changer([&] {
      word = 1;
      while (FutexWakeAll(reinterpret_cast<const uint32_t*>(&word)) == 0 && word == 1)
        std::this_thread::yield();
    });
    const absl::Time start = absl::Now();
    EXPECT_NE(FutexWaitAny(slept_on, kPatience), FutexAny::kRefused);
    EXPECT_LT(absl::Now() - start, kPatience / 2);
    word = 0;
    changer.join();
  }
  EXPECT_EQ(FutexWaitAny(slept_on, -absl::Seconds(1)), FutexAny::kSlept)
      << "until a deadline that has passed";
  words[7] = 1;
  EXPECT_EQ(FutexWaitAny(slept_on, kPatience), FutexAny::kChanged);
}

TEST(FutexTest, AReaderOfAnotherProcessSleepsOnAReadOnlyMapping) {
  const pylabhub::testing::ShmFolder folder;
  const std::string path = folder.path() + "/word";
  auto writer = Mapping::Reserve(UniqueFd(open(path.c_str(), O_RDWR | O_CREAT, 0600)), 4096);
  ASSERT_TRUE(writer.ok()) << writer.status();
  auto* word = reinterpret_cast<std::atomic<uint32_t>*>(writer->base());
  ChildProcess reader([&](const ChildProcess::Line&) {
    auto mapping = Mapping::Of(UniqueFd(open(path.c_str(), O_RDONLY)), Access::kReadOnly);
    if (!mapping.ok()) return 1;
    const auto* seen = reinterpret_cast<const std::atomic<uint32_t>*>(mapping->base());
    while (seen->load() == 0) FutexWait(reinterpret_cast<const uint32_t*>(seen), 0, kPatience);
    return 0;
  });
  while (FutexWakeAll(reinterpret_cast<const uint32_t*>(word)) != 1) std::this_thread::yield();
  word->store(1);
  FutexWakeAll(reinterpret_cast<const uint32_t*>(word));
  EXPECT_EQ(reader.Wait(), 0);
  unlink(path.c_str());
}

}  // namespace
}  // namespace pylabhub::shm
