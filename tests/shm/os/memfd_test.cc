// What the kernel enforces for sealed memory, and what is refused when it comes from somebody else.
#include "shm/os/memfd.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "absl/strings/str_cat.h"
#include "shm/os/kernel_lock.h"
#include "tests/support/shm_folder.h"

namespace pylabhub::shm {
namespace {

using ::testing::HasSubstr;

constexpr size_t kBytes = 8192;

// Created, reserved, mapped and sealed, as a segment is.
Mapping Sealed(Writers writers, size_t bytes = kBytes) {
  absl::StatusOr<UniqueFd> memfd = CreateMemfd("pylabhub.memfd_test");
  EXPECT_TRUE(memfd.ok()) << memfd.status();
  absl::StatusOr<Mapping> mapping = Mapping::Reserve(*std::move(memfd), bytes);
  EXPECT_TRUE(mapping.ok()) << mapping.status();
  EXPECT_TRUE(Seal(mapping->fd(), writers).ok());
  return *std::move(mapping);
}

UniqueFd Reopen(int descriptor, int flags) {
  return UniqueFd::Open(absl::StrCat("/proc/self/fd/", descriptor), flags | O_CLOEXEC);
}

bool CanMap(int fd, int protection) {
  void* mapped = mmap(nullptr, kBytes, protection, MAP_SHARED, fd, 0);
  if (mapped == MAP_FAILED) return false;
  munmap(mapped, kBytes);
  return true;
}

std::string Refusal(int descriptor, Writers writers) {
  const absl::StatusOr<UniqueFd> fd = ReopenSealed(descriptor, writers, Access::kReadOnly);
  EXPECT_TRUE(absl::IsFailedPrecondition(fd.status())) << fd.status();
  return std::string(fd.status().message());
}

TEST(MemfdTest, WhatIsSealedForItsCreatorAloneIsWrittenThroughItsOldMappingOnly) {
  const Mapping creator = Sealed(Writers::kCreatorAlone);
  const auto reader = ReopenSealed(creator.fd(), Writers::kCreatorAlone, Access::kReadOnly);
  ASSERT_TRUE(reader.ok()) << reader.status();
  const auto view = Mapping::Of(Reopen(reader->get(), O_RDONLY), Access::kReadOnly);
  ASSERT_TRUE(view.ok()) << view.status();
  creator.base()[100] = std::byte{42};
  EXPECT_EQ(view->base()[100], std::byte{42});

  EXPECT_FALSE(CanMap(reader->get(), PROT_READ | PROT_WRITE));
  EXPECT_NE(mprotect(view->base(), kBytes, PROT_READ | PROT_WRITE), 0);
  // Only root gets so far; it is sealed for root too. The very descriptor that it was created with is.
  const UniqueFd reopened = Reopen(reader->get(), O_RDWR);
  for (const int fd : {reopened.get(), creator.fd()}) {
    if (fd < 0) continue;
    EXPECT_FALSE(CanMap(fd, PROT_READ | PROT_WRITE));
    EXPECT_EQ(pwrite(fd, "x", 1, 0), -1);
    EXPECT_NE(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), 0);
  }
}

TEST(MemfdTest, NobodyCanChangeASealedSize) {
  for (const Writers writers : {Writers::kCreatorAlone, Writers::kEverybody}) {
    const Mapping mapping = Sealed(writers);
    for (const off_t bytes : {0, 4096, 16384}) EXPECT_NE(ftruncate(mapping.fd(), bytes), 0) << bytes;
    EXPECT_NE(fcntl(mapping.fd(), F_ADD_SEALS, F_SEAL_WRITE), 0) << "no more seals, either";
  }
}

TEST(MemfdTest, WhatEverybodyWritesCanBeMappedForWritingByWhoGotIt) {
  const Mapping mapping = Sealed(Writers::kEverybody);
  auto fd = ReopenSealed(mapping.fd(), Writers::kEverybody, Access::kReadWrite);
  ASSERT_TRUE(fd.ok()) << fd.status();
  const auto other = Mapping::Of(*std::move(fd), Access::kReadWrite);
  ASSERT_TRUE(other.ok()) << other.status();
  other->base()[7] = std::byte{9};
  EXPECT_EQ(mapping.base()[7], std::byte{9});
}

TEST(MemfdTest, AReopenedDescriptorHasLocksOfItsOwn) {
  const Mapping mapping = Sealed(Writers::kEverybody);
  const auto fd = ReopenSealed(mapping.fd(), Writers::kEverybody, Access::kReadWrite);
  ASSERT_TRUE(fd.ok()) << fd.status();
  EXPECT_TRUE(TryLockByte(fd->get(), 3).value());
  EXPECT_TRUE(ByteIsLocked(mapping.fd(), 3)) << "with the same open() it would see nothing";
  EXPECT_FALSE(TryLockByte(mapping.fd(), 3).value());
}

TEST(MemfdTest, WhoMayReadDataCannotTakeTheLockThatSaysThatItsProducerLives) {
  const Mapping mapping = Sealed(Writers::kCreatorAlone);
  const auto fd = ReopenSealed(mapping.fd(), Writers::kCreatorAlone, Access::kReadOnly);
  ASSERT_TRUE(fd.ok()) << fd.status();
  EXPECT_FALSE(TryLockByte(fd->get(), 0).ok());
  if (geteuid() == 0) GTEST_SKIP() << "root may open it for writing all the same";
  EXPECT_FALSE(Reopen(fd->get(), O_RDWR).valid());
}

TEST(MemfdTest, WhatIsNoMemfdIsRefused) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd pipe_end(ends[0]);
  const UniqueFd other_end(ends[1]);
  EXPECT_THAT(Refusal(pipe_end.get(), Writers::kEverybody), HasSubstr("not a memfd"));
  const UniqueFd directory = UniqueFd::Open("/proc/self", O_RDONLY | O_CLOEXEC);
  EXPECT_THAT(Refusal(directory.get(), Writers::kEverybody), HasSubstr("not a memfd"));
  const UniqueFd program = UniqueFd::Open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  EXPECT_THAT(Refusal(program.get(), Writers::kEverybody), HasSubstr("not a"));
  EXPECT_FALSE(ReopenSealed(-1, Writers::kEverybody, Access::kReadOnly).ok());
}

TEST(MemfdTest, AFileThatCouldBeCutShortIsRefused) {
  pylabhub::testing::ShmFolder folder;
  const std::string path = folder.path() + "/file";
  const UniqueFd file = UniqueFd::Open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  unlink(path.c_str());
  ASSERT_EQ(fallocate(file.get(), 0, 0, kBytes), 0);
  EXPECT_THAT(Refusal(file.get(), Writers::kEverybody), HasSubstr("F_SEAL_SHRINK"));
}

TEST(MemfdTest, EachMissingSealIsNamed) {
  const auto memfd = CreateMemfd("pylabhub.memfd_test");
  ASSERT_TRUE(memfd.ok()) << memfd.status();
  ASSERT_EQ(fallocate(memfd->get(), 0, 0, kBytes), 0);
  EXPECT_THAT(Refusal(memfd->get(), Writers::kCreatorAlone),
              HasSubstr("F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_FUTURE_WRITE, F_SEAL_SEAL"));
  ASSERT_TRUE(Seal(memfd->get(), Writers::kEverybody).ok());
  EXPECT_THAT(Refusal(memfd->get(), Writers::kCreatorAlone),
              HasSubstr("lacks the seals F_SEAL_FUTURE_WRITE;"));
}

TEST(MemfdTest, SealedMemoryWithoutPagesIsRefusedForItWouldBeTakenFromTheReader) {
  for (const off_t bytes : {off_t{0}, off_t{1} << 40}) {
    const auto memfd = CreateMemfd("pylabhub.memfd_test");
    ASSERT_TRUE(memfd.ok()) << memfd.status();
    ASSERT_EQ(ftruncate(memfd->get(), bytes), 0);
    ASSERT_TRUE(Seal(memfd->get(), Writers::kCreatorAlone).ok());
    EXPECT_THAT(Refusal(memfd->get(), Writers::kCreatorAlone),
                HasSubstr(bytes == 0 ? "it is empty" : "only 0 of its 1099511627776 bytes have memory"));
  }
}

}  // namespace
}  // namespace pylabhub::shm
