#include "shm/channel/anchor.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "shm/os/kernel_lock.h"
#include "tests/support/child_process.h"
#include "tests/support/shm_folder.h"

namespace pylabhub::shm {
namespace {

using ::pylabhub::testing::ChildProcess;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class AnchorTest : public ::testing::Test {
 protected:
  absl::StatusOr<Anchor> Lock() const { return Anchor::Lock(files_, std::nullopt); }
  void Remove() const {
    const auto turn = Anchor::TakeTurn(files_);
    if (turn.ok() && turn->TryLockAsProducer()) turn->Remove();
  }
  ~AnchorTest() override { Remove(); }

  pylabhub::testing::ShmFolder folder_;
  ChannelFiles files_{folder_.path(), "anchor.test"};
};

TEST_F(AnchorTest, OneOfTwoLocksItAndTheOtherAfterIt) {
  {
    const auto first = Lock();
    ASSERT_TRUE(first.ok()) << first.status();
    const auto second = Lock();
    ASSERT_TRUE(absl::IsAlreadyExists(second.status())) << second.status();
    EXPECT_THAT(std::string(second.status().message()), HasSubstr("anchor.test"));
    EXPECT_TRUE(Anchor::Open(files_)->IsLocked());
  }
  EXPECT_FALSE(Anchor::Open(files_)->IsLocked());
  EXPECT_TRUE(Lock().ok());
}

TEST_F(AnchorTest, OneOfManyProcessesWins) {
  std::vector<std::unique_ptr<ChildProcess>> children;
  for (int i = 0; i < 6; ++i) {
    children.push_back(std::make_unique<ChildProcess>([this](const ChildProcess::Line& parent) {
      parent.Signal();
      parent.Await();
      const auto anchor = Lock();
      parent.Signal(anchor.ok() ? 'w' : absl::IsAlreadyExists(anchor.status()) ? 'l' : '?');
      parent.Await();
      return 0;
    }));
  }
  for (const auto& child : children) child->line().Await();
  for (const auto& child : children) child->line().Signal();
  std::string answers;
  for (const auto& child : children) answers += child->line().Await();
  EXPECT_EQ(std::count(answers.begin(), answers.end(), 'w'), 1) << answers;
  EXPECT_EQ(std::count(answers.begin(), answers.end(), 'l'), 5) << answers;
}

TEST_F(AnchorTest, ItSaysWhichSegmentIsCurrentAndChangesInOneStep) {
  auto lock = Lock();
  ASSERT_TRUE(lock.ok());
  const auto reader = Anchor::Open(files_);
  ASSERT_TRUE(reader.ok()) << reader.status();
  const Anchor::Current before = reader->Read();
  EXPECT_TRUE(before.segment_id.is_nil());
  for (int i = 0; i < 5; ++i) {
    const SegmentId id = SegmentId::Random();
    lock->Publish(id);
    EXPECT_EQ(reader->Read().segment_id, id);
  }
  EXPECT_NE(reader->Read().publications, before.publications);
  // Something else than what was seen is current already: no sleep.
  const absl::Time start = absl::Now();
  reader->WaitForChange(before, absl::Seconds(20));
  EXPECT_LT(absl::Now() - start, absl::Seconds(10));
}

TEST_F(AnchorTest, TheNextLockerFindsTheLastSegment) {
  const SegmentId id = SegmentId::Random();
  Lock()->Publish(id);
  EXPECT_EQ(Lock()->Read().segment_id, id);
}

TEST_F(AnchorTest, ALockedAnchorIsNotRemovedAndAnUnlockedOneIs) {
  {
    const auto lock = Lock();
    Remove();
    EXPECT_EQ(folder_.Files().size(), 1u);
  }
  Remove();
  EXPECT_THAT(folder_.Files(), IsEmpty());
  EXPECT_TRUE(absl::IsNotFound(Anchor::Open(files_).status()));
  EXPECT_TRUE(absl::IsNotFound(Anchor::TakeTurn(files_).status()));
}

TEST_F(AnchorTest, ATurnIsHeldByOneAtATime) {
  { ASSERT_TRUE(Lock().ok()); }
  const auto prober = OpenChannelFile(files_.AnchorPath(), Access::kReadOnly);
  ASSERT_TRUE(prober.ok());
  std::atomic<bool> given_back = false;
  std::optional<std::thread> other;
  {
    const auto turn = Anchor::TakeTurn(files_);
    ASSERT_TRUE(turn.ok()) << turn.status();
    EXPECT_TRUE(ByteIsLocked(prober->get(), kTurnLockByte));
    other.emplace([&] {
      const auto next = Anchor::TakeTurn(files_);
      EXPECT_TRUE(next.ok());
      EXPECT_TRUE(given_back);
    });
    given_back = true;
  }
  other->join();
  EXPECT_FALSE(ByteIsLocked(prober->get(), kTurnLockByte));
}

TEST_F(AnchorTest, TwoNeverBothHoldTheNameWhileItIsRemovedUnderThem) {
  constexpr int kWins = 500;
  constexpr int kReplacements = 20;
  const absl::Time deadline = absl::Now() + absl::Seconds(30);
  std::atomic<int> holders = 0;
  std::atomic<int> wins = 0;
  std::atomic<int> clashes = 0;
  std::atomic<int> replacements = 0;
  std::atomic<ino_t> last_file = 0;
  const auto done = [&] {
    return (wins >= kWins && replacements >= kReplacements) || absl::Now() > deadline;
  };
  const auto produce = [&] {
    while (!done()) {
      const auto anchor = Lock();
      if (!anchor.ok()) {
        EXPECT_TRUE(absl::IsAlreadyExists(anchor.status())) << anchor.status();
        std::this_thread::yield();
        continue;
      }
      if (++holders != 1) ++clashes;
      struct stat file = {};
      EXPECT_EQ(stat(files_.AnchorPath().c_str(), &file), 0) << "a producer holds a file without a name";
      if (last_file.exchange(file.st_ino) != file.st_ino) ++replacements;
      ++wins;
      --holders;
    }
  };
  std::thread first(produce);
  std::thread second(produce);
  while (!done()) Remove();
  first.join();
  second.join();
  EXPECT_EQ(clashes, 0);
  EXPECT_GE(replacements, kReplacements) << "the race never happened";
}

TEST_F(AnchorTest, AReaderThatLocksItIsToldFromALiveProducer) {
  { ASSERT_TRUE(Lock().ok()); }
  const auto reader = OpenChannelFile(files_.AnchorPath(), Access::kReadOnly);
  ASSERT_TRUE(reader.ok());
  struct flock read_lock = {};
  read_lock.l_type = F_RDLCK;
  read_lock.l_whence = SEEK_SET;
  ASSERT_EQ(fcntl(reader->get(), F_OFD_SETLK, &read_lock), 0) << "the whole file";
  const auto lock = Lock();
  EXPECT_TRUE(absl::IsUnavailable(lock.status())) << lock.status();
  EXPECT_THAT(std::string(lock.status().message()), HasSubstr("may only read it"));
  EXPECT_FALSE(Anchor::TakeTurn(files_).ok()) << "and nobody waits for it";
}

TEST_F(AnchorTest, WhatIsNoAnchorIsRefusedByNameForReadersAndProducers) {
  const std::string path = files_.AnchorPath();
  std::ofstream(path) << std::string(kPageBytes, 'x');
  for (const absl::Status& status : {Anchor::Open(files_).status(), Lock().status()}) {
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(path + ": not an anchor of pylabhub"));
  }
  AnchorBlock block{};
  block.magic = kAnchorMagic;
  block.abi_version = 9;
  std::fstream(path).write(reinterpret_cast<const char*>(&block), sizeof(block));
  for (const absl::Status& status : {Anchor::Open(files_).status(), Lock().status()}) {
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("version 9"));
  }
}

TEST_F(AnchorTest, AnEmptyOrShortAnchorIsNotFinishedAndTheNextProducerFinishesIt) {
  for (const size_t bytes : {0, 1, 47, 4095}) {
    std::ofstream(files_.AnchorPath()) << std::string(bytes, '\0');
    EXPECT_TRUE(absl::IsNotFound(Anchor::Open(files_).status())) << bytes;
    EXPECT_TRUE(Lock().ok()) << bytes;
    EXPECT_TRUE(Anchor::Open(files_).ok()) << bytes;
    Remove();
  }
}

}  // namespace
}  // namespace pylabhub::shm
