#include "shm/os/fork_guard.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>

#include "shm/os/kernel_lock.h"
#include "shm/os/mapping.h"
#include "tests/support/child_process.h"
#include "tests/support/shm_folder.h"

namespace pylabhub::shm {
namespace {

using ::pylabhub::testing::ChildProcess;

class ForkGuardTest : public ::testing::Test {
 protected:
  ForkGuardTest() { UniqueFd(open(path().c_str(), O_RDWR | O_CREAT, 0600)); }
  ~ForkGuardTest() override { unlink(path().c_str()); }

  std::string path() const { return folder_.path() + "/file"; }
  UniqueFd Open() const { return UniqueFd(open(path().c_str(), O_RDWR | O_CLOEXEC)); }

 private:
  pylabhub::testing::ShmFolder folder_;
};

bool IsOpen(int fd) { return fcntl(fd, F_GETFD) >= 0; }

TEST_F(ForkGuardTest, AChildHasAnotherGenerationAndNoneOfItsParentsDescriptors) {
  const UniqueFd kept = Open();
  UniqueFd moved_from = Open();
  const UniqueFd moved = std::move(moved_from);
  const int closed_number = [this] { return Open().get(); }();
  const UniqueFd reused = Open();  // has the number of the one that was closed
  EXPECT_EQ(reused.get(), closed_number);
  const uint64_t generation = ForkGeneration();
  ChildProcess child([&](const ChildProcess::Line&) {
    if (ForkGeneration() == generation) return 1;
    return IsOpen(kept.get()) || IsOpen(moved.get()) || IsOpen(reused.get()) ? 2 : 0;
  });
  EXPECT_EQ(child.Wait(), 0);
  EXPECT_EQ(ForkGeneration(), generation);
  EXPECT_TRUE(IsOpen(kept.get()) && IsOpen(moved.get()) && IsOpen(reused.get()));
}

TEST_F(ForkGuardTest, AChildDoesNotCloseANumberThatIsItsOwnByNow) {
  auto parents = std::make_unique<UniqueFd>(Open());
  ChildProcess child([&](const ChildProcess::Line&) {
    const int number = parents->get();
    const UniqueFd own(open(path().c_str(), O_RDWR | O_CLOEXEC));
    if (own.get() != number) return 1;  // the lowest free number, so the parent's
    parents.reset();
    return IsOpen(number) ? 0 : 2;
  });
  EXPECT_EQ(child.Wait(), 0);
}

TEST_F(ForkGuardTest, AChildsEndDropsNoLockOfItsParent) {
  const UniqueFd holder = Open();
  ASSERT_TRUE(*TryLockByte(holder.get(), 0));
  const UniqueFd prober = Open();
  ChildProcess child([](const ChildProcess::Line&) { return 0; });
  EXPECT_EQ(child.Wait(), 0);
  EXPECT_TRUE(ByteIsLocked(prober.get(), 0));
}

TEST_F(ForkGuardTest, AGrandchildThatLivesOnDoesNotKeepItsDeadForebearAlive) {
  ChildProcess parent([this](const ChildProcess::Line& test) {
    const UniqueFd holder = Open();
    if (!*TryLockByte(holder.get(), 0)) return 1;
    if (fork() == 0) {
      // Outlives its parent: ends when the test closes its end of the pipe.
      test.Signal('c');
      test.Await();
      _exit(0);
    }
    test.Signal('p');
    pause();
    return 0;
  });
  parent.line().Await();
  parent.line().Await();
  const UniqueFd prober = Open();
  EXPECT_TRUE(ByteIsLocked(prober.get(), 0));
  parent.Kill();
  EXPECT_FALSE(ByteIsLocked(prober.get(), 0)) << "a forked child keeps its dead parent's lock";
}

TEST_F(ForkGuardTest, AMappingIsNotInheritedAndItsCopyUnmapsNothing) {
  auto mapping = Mapping::Reserve(Open(), 4096);
  ASSERT_TRUE(mapping.ok()) << mapping.status();
  ChildProcess child([&](const ChildProcess::Line&) {
    void* const address = mapping->base();
    // Nothing is there: so this is the child's own page now.
    void* const own =
        mmap(address, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (own != address) return 1;
    *mapping = Mapping();
    *static_cast<char*>(own) = 'x';  // ends the child with a signal if the copy unmapped it
    return 0;
  });
  EXPECT_EQ(child.Wait(), 0);
  mapping->base()[0] = std::byte{1};
}

}  // namespace
}  // namespace pylabhub::shm
