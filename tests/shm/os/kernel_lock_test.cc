#include "shm/os/kernel_lock.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>

#include "shm/os/fork_guard.h"
#include "tests/support/child_process.h"
#include "tests/support/shm_folder.h"

namespace pylabhub::shm {
namespace {

using ::pylabhub::testing::ChildProcess;

class KernelLockTest : public ::testing::Test {
 protected:
  KernelLockTest() { UniqueFd(open(path().c_str(), O_RDWR | O_CREAT, 0600)); }
  ~KernelLockTest() override { unlink(path().c_str()); }

  std::string path() const { return folder_.path() + "/lock"; }
  UniqueFd Open(int flags = O_RDWR) const { return UniqueFd(open(path().c_str(), flags | O_CLOEXEC)); }

 private:
  pylabhub::testing::ShmFolder folder_;
};

bool TryLock(const UniqueFd& fd, int64_t offset) {
  const absl::StatusOr<bool> locked = TryLockByte(fd.get(), offset);
  EXPECT_TRUE(locked.ok()) << locked.status();
  return locked.ok() && *locked;
}

TEST_F(KernelLockTest, TwoHandlesInOneProcessSeeEachOther) {
  const UniqueFd first = Open();
  const UniqueFd second = Open();
  EXPECT_FALSE(ByteIsLocked(second.get(), 5));
  EXPECT_TRUE(TryLock(first, 5));
  EXPECT_TRUE(ByteIsLocked(second.get(), 5));
  EXPECT_FALSE(TryLock(second, 5));
  EXPECT_FALSE(ByteIsLocked(first.get(), 5)) << "a holder does not see its own lock";
}

TEST_F(KernelLockTest, EveryByteIsALockOfItsOwn) {
  const UniqueFd first = Open();
  const UniqueFd second = Open();
  EXPECT_TRUE(TryLock(first, 5));
  EXPECT_TRUE(TryLock(second, 4));
  EXPECT_TRUE(TryLock(second, 6));
  EXPECT_FALSE(ByteIsLocked(second.get(), 7));
}

TEST_F(KernelLockTest, ALockGoesWithItsDescriptorOrWhenItIsGivenBack) {
  const UniqueFd prober = Open(O_RDONLY);
  {
    const UniqueFd holder = Open();
    EXPECT_TRUE(TryLock(holder, 0));
    UnlockByte(holder.get(), 0);
    EXPECT_FALSE(ByteIsLocked(prober.get(), 0));
    EXPECT_TRUE(TryLock(holder, 0));
    EXPECT_TRUE(ByteIsLocked(prober.get(), 0));
  }
  EXPECT_FALSE(ByteIsLocked(prober.get(), 0));
}

TEST_F(KernelLockTest, WhoMayOnlyReadCannotPretendThatAProducerLives) {
  const UniqueFd reader = Open(O_RDONLY);
  EXPECT_FALSE(TryLockByte(reader.get(), 0).ok()) << "a lock for writing needs a descriptor for writing";
  struct flock read_lock = {};
  read_lock.l_type = F_RDLCK;
  read_lock.l_whence = SEEK_SET;
  read_lock.l_len = 1;
  ASSERT_EQ(fcntl(reader.get(), F_OFD_SETLK, &read_lock), 0);
  const UniqueFd prober = Open(O_RDONLY);
  EXPECT_FALSE(ByteIsLocked(prober.get(), 0));
}

TEST_F(KernelLockTest, AChildsLockIsSeenUntilItIsKilled) {
  ChildProcess child([this](const ChildProcess::Line& parent) {
    const UniqueFd fd = Open();
    if (!TryLock(fd, 3)) return 1;
    parent.Signal();
    parent.Await();
    return 0;
  });
  child.line().Await();
  const UniqueFd prober = Open(O_RDONLY);
  EXPECT_TRUE(ByteIsLocked(prober.get(), 3));
  child.Kill();
  EXPECT_FALSE(ByteIsLocked(prober.get(), 3));
}

TEST_F(KernelLockTest, WhoWaitsForALockGetsItWhenItsHolderIsKilled) {
  ChildProcess child([this](const ChildProcess::Line& parent) {
    const UniqueFd fd = Open();
    if (!TryLock(fd, 3)) return 1;
    parent.Signal();
    parent.Await();  // ends at the latest when the parent is gone
    return 0;
  });
  child.line().Await();
  const UniqueFd fd = Open();
  EXPECT_FALSE(TryLock(fd, 3));
  // It gets the signal to end, and ends at some moment before or after this process begins to wait.
  child.line().Signal();
  const absl::StatusOr<bool> locked = TryLockByteFor(fd.get(), 3, absl::Seconds(20));
  EXPECT_TRUE(locked.ok() && *locked);
  EXPECT_EQ(child.Wait(), 0);
}

TEST_F(KernelLockTest, NobodyWaitsLongerThanItsPatience) {
  const UniqueFd holder = Open();
  ASSERT_TRUE(TryLock(holder, 3));
  const UniqueFd fd = Open();
  const absl::StatusOr<bool> locked = TryLockByteFor(fd.get(), 3, absl::Milliseconds(2));
  EXPECT_TRUE(locked.ok() && !*locked);
}

TEST_F(KernelLockTest, AProbeThatFailsTakesNobodyForDead) {
  EXPECT_TRUE(ByteIsLocked(-1, 0));
  EXPECT_FALSE(TryLockByte(-1, 0).ok());
}

}  // namespace
}  // namespace pylabhub::shm
