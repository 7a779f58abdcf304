#include "shm/os/futex_watcher.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "tests/support/child_process.h"
#include "tests/support/seed.h"

namespace pylabhub::shm {
namespace {

constexpr uint32_t kRing = 4;
constexpr absl::Duration kPatience = absl::Seconds(20);

const uint32_t* Plain(const std::atomic<uint32_t>& word) { return reinterpret_cast<const uint32_t*>(&word); }

class FutexWatcherTest : public ::testing::TestWithParam<FutexWatcher::Words> {
 protected:
  size_t words_per_watcher() const { return GetParam() == FutexWatcher::Words::kMany ? 20 : 1; }

  // As an owner sleeps; nothing but a ring ends it early.
  void SleepUntilRung() {
    const absl::Time start = absl::Now();
    while ((bell_ & kRing) == 0 && absl::Now() - start < kPatience) FutexWait(Plain(bell_), 0, kPatience);
    EXPECT_LT(absl::Now() - start, kPatience) << "a ring was lost";
  }

  std::atomic<uint32_t> bell_ = 0;
};

TEST_P(FutexWatcherTest, AWordThatHasChangedAlreadyRingsAtOnce) {
  const std::atomic<uint32_t> word = 7;
  FutexWatcher watcher(bell_, kRing, GetParam());
  const FutexWord watched[] = {{.word = Plain(word), .expected = 6}};
  ASSERT_TRUE(watcher.Watch(watched));
  SleepUntilRung();
}

TEST_P(FutexWatcherTest, RestEndsASleepOnWordsThatDoNotChange) {
  const auto word = std::make_unique<std::atomic<uint32_t>>(7);
  FutexWatcher watcher(bell_, kRing, GetParam());
  const FutexWord watched[] = {{.word = Plain(*word), .expected = 7}};
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(watcher.Watch(watched));
    EXPECT_TRUE(watcher.IsAsleepOn(Plain(*word)));
    watcher.Rest();
    EXPECT_FALSE(watcher.IsAsleepOn(Plain(*word)));
  }
  // Its end, too.
  ASSERT_TRUE(watcher.Watch(watched));
}

TEST_P(FutexWatcherTest, AChildOfForkWaitsForNobody) {
  const std::atomic<uint32_t> word = 7;
  auto watcher = std::make_unique<FutexWatcher>(bell_, kRing, GetParam());
  const FutexWord watched[] = {{.word = Plain(word), .expected = 7}};
  ASSERT_TRUE(watcher->Watch(watched));
  pylabhub::testing::ChildProcess child([&](const auto&) {
    watcher->Rest();
    watcher.reset();
    return 0;
  });
  EXPECT_EQ(child.Wait(), 0);
}

// The owner's loop of a WaitSet, with no slices of 10 ms that would hide a ring that is lost.
TEST_P(FutexWatcherTest, NoRingIsLost) {
  constexpr int kChanges = 20'000;
  std::array<std::atomic<uint32_t>, 60> words = {};
  std::vector<std::unique_ptr<FutexWatcher>> watchers;
  for (size_t i = 0; i < words.size(); i += words_per_watcher())
    watchers.push_back(std::make_unique<FutexWatcher>(bell_, kRing, GetParam()));
  std::atomic<int> seen = 0;
  std::thread changer([&] {
    std::mt19937_64 random(pylabhub::testing::Seed());
    for (int i = 0; i < kChanges; ++i) {
      std::atomic<uint32_t>& word = words[random() % words.size()];
      word.fetch_add(1);
      FutexWakeAll(Plain(word));
      // Mostly one at a time, so that a lost one is not made good by the next.
      if (random() % 4 != 0) {
        for (int now = seen.load(); now <= i; now = seen.load()) seen.wait(now);
      }
    }
  });
  uint32_t counted = 0;
  while (counted < kChanges && !HasFailure()) {
    bell_.fetch_and(~kRing, std::memory_order_acquire);
    std::vector<FutexWord> watched;
    uint32_t sum = 0;
    for (const auto& word : words) {
      watched.push_back({.word = Plain(word), .expected = word.load(std::memory_order_relaxed)});
      sum += watched.back().expected;
    }
    if (sum != counted) {
      counted = sum;
      seen = static_cast<int>(counted);
      seen.notify_one();
      continue;
    }
    for (size_t i = 0; i < watchers.size(); ++i) {
      ASSERT_TRUE(
          watchers[i]->Watch(std::span(watched).subspan(i * words_per_watcher(), words_per_watcher())));
    }
    SleepUntilRung();
  }
  seen = kChanges;
  seen.notify_one();
  changer.join();
}

INSTANTIATE_TEST_SUITE_P(Words, FutexWatcherTest,
                         ::testing::Values(FutexWatcher::Words::kOne, FutexWatcher::Words::kMany),
                         [](const auto& info) {
                           return info.param == FutexWatcher::Words::kOne ? "One" : "Many";
                         });

}  // namespace
}  // namespace pylabhub::shm
