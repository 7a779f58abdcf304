// How a WaitSet sleeps and is woken: on many channels, in every policy, and where a sandbox refuses futex_waitv.
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "shm/data_block_consumer.h"
#include "shm/data_block_producer.h"
#include "shm/wait_set.h"
#include "tests/shm/channel_bundle.h"
#include "tests/support/child_process.h"
#include "tests/support/every_policy.h"
#include "tests/support/seed.h"
#include "tests/support/stamped_slots.h"

namespace pylabhub::shm {
namespace {

using ::pylabhub::testing::ChildProcess;
using ::pylabhub::testing::IsStamped;
using ::pylabhub::testing::Seed;

constexpr absl::Duration kPatience = absl::Seconds(20);
constexpr WaitOptions kSleepAtOnce = {.spin = absl::ZeroDuration()};

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif
constexpr int kSlower = kSanitized ? 10 : 1;

// From now on the kernel answers `error` to these system calls of this thread and of those that it starts.
bool Refuse(std::initializer_list<int> calls, int error) {
  std::vector<sock_filter> program = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr))};
  for (const int call : calls) {
    program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(call), 0, 1));
    program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<uint32_t>(error)));
  }
  program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  const sock_fprog filter = {.len = static_cast<uint16_t>(program.size()), .filter = program.data()};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

// Counts the threads that were started since it was made.
class ThreadCounter {
 public:
  ptrdiff_t started() const { return All() - before_; }

 private:
  static ptrdiff_t All() { return std::distance(std::filesystem::directory_iterator("/proc/self/task"), {}); }
  ptrdiff_t before_ = All();
};

// Writes a slot into the channel that it is asked for, from a thread of its own.
class Writer {
 public:
  explicit Writer(ChannelBundle& channels)
      : channels_(channels), thread_([this] {
          for (int served = 0;; ++served) {
            asked_.wait(served);
            if (wanted_ == kStop) return;
            channels_.Put(wanted_);
            served_ = served + 1;
            served_.notify_one();
          }
        }) {}
  ~Writer() {
    Ask(kStop);
    thread_.join();
  }
  void Ask(size_t channel) {
    AwaitServed();
    wanted_ = channel;
    asked_.fetch_add(1);
    asked_.notify_one();
  }
  // Returns when it has nothing to do with any producer any more.
  void AwaitServed() {
    for (int served = served_; served != asked_; served = served_) served_.wait(served);
  }

 private:
  static constexpr size_t kStop = SIZE_MAX;
  ChannelBundle& channels_;
  size_t wanted_ = 0;
  std::atomic<int> asked_ = 0;
  std::atomic<int> served_ = 0;
  std::thread thread_;
};

// How long this process's threads, together, could have run and had no processor: other programs' load, no sleep.
std::chrono::nanoseconds RunQueueDelay() {
  uint64_t total_ns = 0;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    uint64_t ran_ns = 0;
    uint64_t delayed_ns = 0;
    if (std::ifstream(task.path() / "schedstat") >> ran_ns >> delayed_ns) total_ns += delayed_ns;
  }
  return std::chrono::nanoseconds(total_ns);
}

// Asks for slots in channels at random, each of which the set has to tell. Returns how long that took on average, the
// machine's load left out; a wake that is lost takes 10 ms, which is when the set looks by itself.
std::chrono::nanoseconds MeanWake(ChannelBundle& channels, WaitSet& set, Writer& writer, int rounds) {
  std::mt19937_64 random(Seed());
  const std::chrono::nanoseconds delayed = RunQueueDelay();
  const auto start = std::chrono::steady_clock::now();
  for (int round = 0; round < rounds; ++round) {
    const size_t channel = random() % channels.size();
    writer.Ask(channel);
    const WaitResult next = set.Wait(kPatience);
    if (next.outcome != WaitOutcome::kReady || next.key != channel ||
        channels.Take(channel) != SlotResult::kOk)
      return std::chrono::hours(1);
  }
  return (std::chrono::steady_clock::now() - start - (RunQueueDelay() - delayed)) / rounds;
}
constexpr std::chrono::milliseconds kWellBelowASlice{kSanitized ? 1000 : 5};

class WaitSetPolicyTest : public ::testing::TestWithParam<Policy> {};

TEST_P(WaitSetPolicyTest, ASleeperIsWokenByEveryMember) {
  ChannelBundle channels(5, GetParam());
  WaitSet set(kSleepAtOnce);
  channels.JoinAll(set);
  Writer writer(channels);
  const ThreadCounter threads;
  EXPECT_LT(MeanWake(channels, set, writer, 1000), kWellBelowASlice);
  EXPECT_EQ(threads.started(), 0);
  uint64_t sleeps = 0;
  for (size_t i = 0; i < channels.size(); ++i) sleeps += channels.consumer(i).Stats().sleeps;
  EXPECT_GT(sleeps, 100u);
}

INSTANTIATE_TEST_SUITE_P(Policies, WaitSetPolicyTest, ::testing::ValuesIn(pylabhub::testing::kEveryPolicy),
                         [](const auto& info) { return std::string(NameOf(info.param)); });

TEST(WaitSetSleepTest, TwoHundredMembersWakeASleeperAndTheThreadForThemEndsWithTheSet) {
  ChannelBundle channels(200);
  Writer writer(channels);
  const ThreadCounter threads;
  {
    WaitSet set(kSleepAtOnce);
    channels.JoinAll(set);
    EXPECT_LT(MeanWake(channels, set, writer, 1000), kWellBelowASlice);
    EXPECT_EQ(threads.started(), 1) << "one for the 73 that do not fit into one futex_waitv";
    for (size_t i = 100; i < 200; ++i) channels.Leave(i);
    EXPECT_EQ(set.size(), 100u);
    EXPECT_EQ(set.Wait(absl::Milliseconds(1)).outcome, WaitOutcome::kTimeout);
    EXPECT_EQ(threads.started(), 0) << "the rest fits";
  }
  EXPECT_EQ(threads.started(), 0);
}

TEST(WaitSetSleepTest, ASleeperHearsOfACloseOfADeathAndOfTheNextProducer) {
  ChannelBundle channels(2);
  ChildProcess successor([&](const ChildProcess::Line& parent) {
    parent.Await();
    auto producer = channels.Create(1);
    parent.Await();
    return 1;
  });
  WaitSet set(kSleepAtOnce);
  channels.JoinAll(set);
  std::thread closer([&] { channels.Close(1); });
  EXPECT_EQ(set.Wait(kPatience).key, 1u);
  closer.join();
  EXPECT_EQ(channels.Take(1), SlotResult::kProducerClosed);

  successor.line().Signal();
  EXPECT_EQ(set.Wait(kPatience).key, 1u);
  ASSERT_TRUE(channels.consumer(1).Follow(kPatience).ok());
  EXPECT_EQ(set.Wait(absl::Milliseconds(1)).outcome, WaitOutcome::kTimeout);

  std::thread killer([&] { successor.Kill(); });
  EXPECT_EQ(set.Wait(kPatience).key, 1u);
  EXPECT_EQ(channels.Take(1), SlotResult::kProducerDead);
  killer.join();
  channels.Reopen(1);
  EXPECT_EQ(set.Wait(kPatience).key, 1u);
  EXPECT_TRUE(channels.consumer(1).Follow(absl::ZeroDuration()).ok());
}

// In a child, since a filter stays for the life of a process.
class WaitSetSandboxTest : public ::testing::TestWithParam<std::tuple<int, size_t>> {};

TEST_P(WaitSetSandboxTest, WhereFutexWaitvIsRefusedAThreadForEachMemberStandsIn) {
  const auto [error, count] = GetParam();
  ChildProcess child([&, error = error, count = count](const ChildProcess::Line&) {
    if (!Refuse({SYS_futex_waitv}, error)) return 77;
    ChannelBundle channels(count);
    Writer writer(channels);
    const ThreadCounter threads;
    {
      WaitSet set(kSleepAtOnce);
      channels.JoinAll(set);
      EXPECT_EQ(threads.started(), 0) << "none before they are needed";
      EXPECT_LT(MeanWake(channels, set, writer, 500), kWellBelowASlice);
      EXPECT_EQ(threads.started(), static_cast<ptrdiff_t>(count));

      // Words go away while threads sleep on them: with a consumer that follows, and with one that leaves.
      writer.AwaitServed();
      channels.Close(0);
      EXPECT_EQ(set.Wait(kPatience).key, 0u);
      EXPECT_EQ(channels.Take(0), SlotResult::kProducerClosed);
      EXPECT_EQ(set.Wait(absl::Milliseconds(1)).outcome, WaitOutcome::kTimeout);
      channels.Reopen(0);
      EXPECT_EQ(set.Wait(kPatience).key, 0u);
      EXPECT_TRUE(channels.consumer(0).Follow(absl::ZeroDuration()).ok());
      channels.Leave(count - 1);
      EXPECT_EQ(set.Wait(absl::Milliseconds(1)).outcome, WaitOutcome::kTimeout);
      EXPECT_EQ(threads.started(), static_cast<ptrdiff_t>(count - 1));
      writer.Ask(0);
      EXPECT_EQ(set.Wait(kPatience).key, 0u);

      std::thread waker([&] { set.Wake(); });
      EXPECT_EQ(channels.Take(0), SlotResult::kOk);
      EXPECT_EQ(set.Wait(kPatience).outcome, WaitOutcome::kWoken);
      waker.join();
    }
    EXPECT_EQ(threads.started(), 0) << "they end with the set";
    return ::testing::Test::HasFailure() ? 1 : 0;
  });
  const int code = child.Wait();
  if (code == 77) GTEST_SKIP() << "this system allows no seccomp filter";
  EXPECT_EQ(code, 0);
}

INSTANTIATE_TEST_SUITE_P(Refusals, WaitSetSandboxTest,
                         ::testing::Values(std::tuple(ENOSYS, size_t{3}), std::tuple(EPERM, size_t{3}),
                                           std::tuple(ENOSYS, size_t{150})),
                         [](const auto& info) {
                           return std::string(std::get<0>(info.param) == ENOSYS ? "Enosys" : "Eperm") +
                                  std::to_string(std::get<1>(info.param));
                         });

TEST(WaitSetSleepTest, WhereThereAreNoThreadsEitherTheSetLooksByItself) {
  ChildProcess child([&](const ChildProcess::Line&) {
    ChannelBundle channels(3);
    Writer writer(channels);
    if (!Refuse({SYS_futex_waitv}, ENOSYS) || !Refuse({SYS_clone, SYS_clone3}, EAGAIN)) return 77;
    const ThreadCounter threads;
    WaitSet set(kSleepAtOnce);
    channels.JoinAll(set);
    EXPECT_LT(MeanWake(channels, set, writer, 100), kWellBelowASlice);
    EXPECT_EQ(threads.started(), 0);
    return ::testing::Test::HasFailure() ? 1 : 0;
  });
  const int code = child.Wait();
  if (code == 77) GTEST_SKIP() << "this system allows no seccomp filter";
  EXPECT_EQ(code, 0);
}

// Writers as fast as they go, or in bursts, and one reader of them all.
class WaitSetStressTest : public ::testing::TestWithParam<absl::Duration> {};

TEST_P(WaitSetStressTest, EverySlotOfEveryChannelIsReadInOrder) {
  constexpr uint64_t kSlots = 60'000 / kSlower;
  ChannelBundle channels(0);
  for (const Policy policy : pylabhub::testing::kEveryPolicy) channels.AddChannel(policy);
  WaitSet set({.spin = GetParam()});
  for (size_t i = 0; i < channels.size(); ++i)
    ASSERT_TRUE(set.Add(channels.consumer(i), {.priority = static_cast<int32_t>(i % 2), .key = i}).ok());

  std::vector<std::thread> writers;
  for (size_t i = 0; i < channels.size(); ++i) {
    writers.emplace_back([&, i] {
      std::mt19937_64 random(Seed() + i);
      for (uint64_t slot = 0; slot < kSlots; ++slot) {
        channels.Put(i);
        if (random() % 64 == 0) std::this_thread::yield();
      }
      channels.Close(i);
    });
  }
  std::vector<uint64_t> read(channels.size());
  size_t open = channels.size();
  uint64_t wrong = 0;
  while (open > 0) {
    const WaitResult next = set.Wait(kPatience);
    ASSERT_EQ(next.outcome, WaitOutcome::kReady);
    const ReadSlot slot = next.consumer->Acquire(absl::ZeroDuration());
    if (slot.result() == SlotResult::kProducerClosed) --open;
    if (!slot) continue;
    read[next.key] += slot.missed_slots();
    if (slot.sequence() != read[next.key] || !IsStamped(slot.payload(), slot.sequence())) ++wrong;
    ++read[next.key];
  }
  for (std::thread& writer : writers) writer.join();
  EXPECT_EQ(wrong, 0u);
  for (size_t i = 0; i < channels.size(); ++i) {
    EXPECT_EQ(read[i], kSlots);
    const bool lossless = IsLossless(channels.consumer(i).config().policy);
    EXPECT_TRUE(!lossless || channels.consumer(i).Stats().missed_slots == 0);
  }
}

INSTANTIATE_TEST_SUITE_P(Spins, WaitSetStressTest,
                         ::testing::Values(absl::ZeroDuration(), absl::Microseconds(10)),
                         [](const auto& info) {
                           return info.param == absl::ZeroDuration() ? "Sleeping" : "Adaptive";
                         });

}  // namespace
}  // namespace pylabhub::shm
