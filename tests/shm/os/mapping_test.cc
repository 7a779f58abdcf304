#include "shm/os/mapping.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "shm/os/memfd.h"
#include "tests/support/child_process.h"
#include "tests/support/shm_folder.h"
#include "tests/support/smaps.h"

namespace pylabhub::shm {
namespace {

using ::pylabhub::testing::ChildProcess;
using ::pylabhub::testing::PageCount;

PageCount CountPages(const std::byte* base) {
  const std::string start = absl::StrCat(absl::Hex(reinterpret_cast<uintptr_t>(base)), "-");
  return pylabhub::testing::CountPages(
      [&](const std::string& line) { return line.compare(0, start.size(), start) == 0; });
}

Mapping Reserve(size_t bytes) {
  absl::StatusOr<UniqueFd> memfd = CreateMemfd("pylabhub.mapping_test");
  EXPECT_TRUE(memfd.ok()) << memfd.status();
  absl::StatusOr<Mapping> mapping = Mapping::Reserve(*std::move(memfd), bytes);
  EXPECT_TRUE(mapping.ok()) << mapping.status();
  return *std::move(mapping);
}

Mapping ReadBack(const Mapping& mapping) {
  absl::StatusOr<Mapping> other = Mapping::Of(
      UniqueFd::Open(absl::StrCat("/proc/self/fd/", mapping.fd()), O_RDONLY | O_CLOEXEC), Access::kReadOnly);
  EXPECT_TRUE(other.ok()) << other.status();
  return *std::move(other);
}

bool IsAligned(const Mapping& mapping) {
  return reinterpret_cast<uintptr_t>(mapping.base()) % kHugePageBytes == 0;
}

TEST(MappingTest, EveryPageIsThereFromTheStartWhateverTheSize) {
  for (const size_t bytes : {size_t{4096}, kHugePageBytes - 4096, kHugePageBytes, kHugePageBytes + 4096,
                             3 * kHugePageBytes, 5 * kHugePageBytes - 4096}) {
    const Mapping mapping = Reserve(bytes);
    ASSERT_EQ(mapping.bytes().size(), bytes);
    EXPECT_GE(CountPages(mapping.base()).resident_bytes, bytes) << bytes;
    struct stat stats = {};
    ASSERT_EQ(fstat(mapping.fd(), &stats), 0);
    EXPECT_EQ(static_cast<size_t>(stats.st_size), bytes);
    EXPECT_GE(static_cast<size_t>(stats.st_blocks) * 512, bytes);
    EXPECT_TRUE(std::all_of(mapping.bytes().begin(), mapping.bytes().end(),
                            [](std::byte byte) { return byte == std::byte{0}; }));
    // Nothing lies behind it: its neighbours are not its own to lose.
    mapping.bytes().front() = std::byte{1};
    mapping.bytes().back() = std::byte{2};
    const Mapping other = ReadBack(mapping);
    EXPECT_EQ(other.bytes().front(), std::byte{1});
    EXPECT_EQ(other.bytes().back(), std::byte{2});
  }
}

TEST(MappingTest, LargeMemoryIsInHugePagesForItsCreatorAndForWhoeverOpensIt) {
  const Mapping mapping = Reserve(4 * kHugePageBytes + 4096);
  EXPECT_TRUE(IsAligned(mapping));
  const uint64_t huge_bytes = CountPages(mapping.base()).huge_bytes;
  const Mapping other = ReadBack(mapping);
  EXPECT_TRUE(IsAligned(other));
  other.Populate();
  EXPECT_EQ(CountPages(other.base()).huge_bytes, huge_bytes);
  if (huge_bytes == 0)
    GTEST_SKIP() << "this kernel gives no huge pages (Linux 6.1 does, unless it has none left)";
  EXPECT_EQ(huge_bytes, 4 * kHugePageBytes);
}

TEST(MappingTest, SmallMemoryIsLeftAsItIs) {
  const Mapping mapping = Reserve(kHugePageBytes - 4096);
  EXPECT_EQ(CountPages(mapping.base()).huge_bytes, 0u);
}

TEST(MappingTest, AFileThatIsThereKeepsWhatItHolds) {
  pylabhub::testing::ShmFolder folder;
  const std::string path = folder.path() + "/file";
  const size_t bytes = 2 * kHugePageBytes;
  UniqueFd file = UniqueFd::Open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  unlink(path.c_str());
  ASSERT_EQ(pwrite(file.get(), "abc", 3, 0), 3);
  ASSERT_EQ(pwrite(file.get(), "xyz", 3, static_cast<off_t>(bytes) + 5), 3);
  const absl::StatusOr<Mapping> mapping = Mapping::Reserve(std::move(file), bytes);
  ASSERT_TRUE(mapping.ok()) << mapping.status();
  EXPECT_EQ(mapping->bytes()[2], std::byte{'c'});
  struct stat stats = {};
  ASSERT_EQ(fstat(mapping->fd(), &stats), 0);
  EXPECT_EQ(static_cast<size_t>(stats.st_size), bytes + 8) << "nothing is cut off";
}

TEST(MappingTest, MoreThanTheMachineHasIsRefusedBeforeAnybodyElseLosesMemoryForIt) {
  ChildProcess child([](const ChildProcess::Line&) {
    // Should it be asked for all the same, the kernel stops at this limit, and the message is another one.
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit = {.rlim_cur = 1 << 20, .rlim_max = 1 << 20};
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0) return 1;
    absl::StatusOr<UniqueFd> memfd = CreateMemfd("pylabhub.mapping_test");
    if (!memfd.ok()) return 2;
    const absl::Status status = Mapping::Reserve(*std::move(memfd), size_t{1} << 45).status();
    if (!absl::IsResourceExhausted(status)) return 3;
    return absl::StrContains(status.message(), "35184372088832 bytes are needed and") ? 0 : 4;
  });
  EXPECT_EQ(child.Wait(), 0);
}

}  // namespace
}  // namespace pylabhub::shm
