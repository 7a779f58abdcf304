#include "shm/segment/superblock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "tests/shm/segment_memory.h"

namespace pylabhub::shm {
namespace {

using ::testing::HasSubstr;

constexpr size_t kFileBytes = 3 * kPageBytes;
constexpr size_t kHeaderBytes = 640;

SegmentMemory Published(uint64_t header_offset_bytes = kPageBytes) {
  SegmentMemory memory(kFileBytes);
  WriteSuperblock(memory.bytes(), SegmentId::Random(), header_offset_bytes);
  PublishSuperblock(memory.bytes(), kDataMagic);
  return memory;
}

std::string ErrorOf(const SegmentMemory& memory) {
  const auto checked = CheckSuperblock(memory.bytes(), kDataMagic, kHeaderBytes);
  EXPECT_TRUE(checked.ok() || absl::IsFailedPrecondition(checked.status())) << checked.status();
  return std::string(checked.status().message());
}

TEST(SuperblockTest, APublishedOneSaysWhereItsHeaderIs) {
  const SegmentMemory memory = Published();
  const auto checked = CheckSuperblock(memory.bytes(), kDataMagic, kHeaderBytes);
  ASSERT_TRUE(checked.ok()) << checked.status();
  EXPECT_EQ(checked->header_offset_bytes, kPageBytes);
  EXPECT_FALSE(checked->segment_id.is_nil());
}

TEST(SuperblockTest, OneThatIsWrittenButNotPublishedIsNotFinished) {
  SegmentMemory memory(kFileBytes);
  WriteSuperblock(memory.bytes(), SegmentId::Random(), kPageBytes);
  EXPECT_THAT(ErrorOf(memory), HasSubstr("not finished"));
}

TEST(SuperblockTest, AnotherMagicIsNotOurs) {
  const SegmentMemory memory = Published();
  memory.Write(offsetof(Superblock, magic), kControlMagic);
  EXPECT_THAT(ErrorOf(memory), HasSubstr("not a segment of pylabhub"));
}

TEST(SuperblockTest, AnotherVersionIsNamedWithTheOneThatIsRead) {
  const SegmentMemory memory = Published();
  memory.Write(offsetof(Superblock, abi_version), kAbiVersion + 41);
  EXPECT_THAT(ErrorOf(memory),
              HasSubstr(absl::StrCat("version ", kAbiVersion + 41, ", this program reads ", kAbiVersion)));
}

TEST(SuperblockTest, AnotherLayoutIsRefused) {
  const SegmentMemory memory = Published();
  memory.Write(offsetof(Superblock, layout_hash), LayoutHash() ^ 1);
  EXPECT_THAT(ErrorOf(memory), HasSubstr("another layout"));
}

TEST(SuperblockTest, AFileOfAnyOtherSizeThanItsOwnIsRefused) {
  const SegmentMemory whole = Published();
  for (size_t bytes = 1; bytes < kFileBytes; bytes += bytes % kPageBytes == 1 ? kPageBytes - 2 : 1) {
    const SegmentMemory cut(whole.bytes(), bytes);
    ASSERT_THAT(ErrorOf(cut), HasSubstr("truncated")) << bytes;
  }
  const SegmentMemory memory = Published();
  memory.Write(offsetof(Superblock, file_bytes), uint64_t{kFileBytes - 1});
  EXPECT_NE(ErrorOf(memory), "");
}

TEST(SuperblockTest, AHeaderIsFoundAtTheLastPlaceWithRoomForItAndNoFurther) {
  constexpr uint64_t kLast = (kFileBytes - kHeaderBytes) / kSpacingBytes * kSpacingBytes;
  EXPECT_EQ(ErrorOf(Published(kLast)), "");
  for (const uint64_t offset :
       {kLast + kSpacingBytes, uint64_t{kFileBytes}, uint64_t{kFileBytes} * 2, UINT64_MAX - 127, uint64_t{0},
        uint64_t{kPageBytes - kSpacingBytes}, uint64_t{kPageBytes + 1}}) {
    EXPECT_THAT(ErrorOf(Published(offset)), HasSubstr("its header is at " + std::to_string(offset)));
  }
}

}  // namespace
}  // namespace pylabhub::shm
