#include "broker/handover/memory_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "broker/refusal.h"
#include "tests/broker/handover/sealed_memory.h"

namespace pylabhub::broker {
namespace {

using ::testing::HasSubstr;
using testing::kDataSeals;
using testing::kMemoryBytes;
using testing::kPartSeals;
using testing::SealedMemory;

Memory MemoryOf(MemoryRole role, handover::Descriptor descriptor, uint64_t size_bytes = kMemoryBytes) {
  return {.role = role, .part = 7, .size_bytes = size_bytes, .descriptor = std::move(descriptor)};
}

std::string VerdictOn(const Memory& memory) {
  const absl::Status status = CheckMemory(memory, "camera");
  if (status.ok()) return "good";
  EXPECT_EQ(DetailsOf(status)->reason, "DEPOSIT_REFUSED");
  EXPECT_EQ(DetailsOf(status)->metadata["channel"], "camera");
  return std::string(status.message());
}

TEST(MemoryCheckTest, SealedMemoryOfTheSizeStatedIsGood) {
  EXPECT_EQ(VerdictOn(MemoryOf(MemoryRole::kData, SealedMemory(kDataSeals))), "good");
  EXPECT_EQ(VerdictOn(MemoryOf(MemoryRole::kBell, SealedMemory(kPartSeals))), "good");
  EXPECT_EQ(VerdictOn(MemoryOf(MemoryRole::kPart, SealedMemory(kPartSeals))), "good");
}

TEST(MemoryCheckTest, EachSealThatIsMissingIsNamed) {
  EXPECT_THAT(VerdictOn(MemoryOf(MemoryRole::kData, SealedMemory(kPartSeals))),
              HasSubstr("lacks the seals F_SEAL_FUTURE_WRITE"));
  EXPECT_THAT(VerdictOn(MemoryOf(MemoryRole::kPart, SealedMemory(F_SEAL_GROW | F_SEAL_SEAL))),
              HasSubstr("the part 7 of channel \"camera\" is refused: it lacks the seals F_SEAL_SHRINK"));
  EXPECT_THAT(VerdictOn(MemoryOf(MemoryRole::kPart, SealedMemory(F_SEAL_SHRINK | F_SEAL_SEAL))),
              HasSubstr("F_SEAL_GROW"));
  EXPECT_THAT(VerdictOn(MemoryOf(MemoryRole::kPart, SealedMemory(F_SEAL_SHRINK | F_SEAL_GROW))),
              HasSubstr("F_SEAL_SEAL"));
  EXPECT_THAT(VerdictOn(MemoryOf(MemoryRole::kPart, SealedMemory(kPartSeals | F_SEAL_WRITE))),
              HasSubstr("F_SEAL_WRITE"));
}

TEST(MemoryCheckTest, WhatIsNoMemoryIsRefused) {
  int ends[2] = {-1, -1};
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const handover::Descriptor other_end(ends[1]);
  EXPECT_THAT(VerdictOn(MemoryOf(MemoryRole::kPart, handover::Descriptor(ends[0]))), HasSubstr("no memfd"));
  for (const char* path : {"/proc/self/exe", "/", "/dev/zero"}) {
    EXPECT_THAT(
        VerdictOn(MemoryOf(MemoryRole::kPart, handover::Descriptor(open(path, O_RDONLY | O_CLOEXEC)))),
        HasSubstr("no memfd"))
        << path;
  }
  EXPECT_THAT(VerdictOn(MemoryOf(MemoryRole::kPart, handover::Descriptor())), HasSubstr("no memfd"));
}

TEST(MemoryCheckTest, ASizeThatIsNotTheOneStatedIsRefused) {
  EXPECT_THAT(VerdictOn(MemoryOf(MemoryRole::kPart, SealedMemory(kPartSeals), 8192)),
              HasSubstr("4096 bytes, and was said to have 8192"));
  EXPECT_THAT(VerdictOn(MemoryOf(MemoryRole::kPart, SealedMemory(kPartSeals, 0), 0)), HasSubstr("empty"));
  handover::Descriptor sparse = SealedMemory(0, 0);
  ASSERT_EQ(ftruncate(sparse.get(), 1 << 20), 0);
  ASSERT_EQ(fcntl(sparse.get(), F_ADD_SEALS, kPartSeals), 0);
  EXPECT_THAT(VerdictOn(MemoryOf(MemoryRole::kPart, std::move(sparse), 1 << 20)),
              HasSubstr("not all of its pages"));
}

TEST(MemoryCheckTest, ALockOnDataSaysThatItsProducerLives) {
  const handover::Descriptor data = SealedMemory(0);
  EXPECT_TRUE(IsUnlocked(data.get()));
  struct flock lock = {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = 4;
  lock.l_len = 1;
  ASSERT_EQ(fcntl(data.get(), F_OFD_SETLK, &lock), 0);
  EXPECT_FALSE(IsUnlocked(data.get()));
  EXPECT_FALSE(IsUnlocked(-1));
}

}  // namespace
}  // namespace pylabhub::broker
