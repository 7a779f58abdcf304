#include "shm/segment/control_segment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>

#include "shm/channel_config.h"
#include "tests/shm/segment_memory.h"
#include "tests/support/seed.h"

namespace pylabhub::shm {
namespace {

using ::testing::HasSubstr;

constexpr uint32_t kPlaces = 7;
constexpr ControlShape kShape = {.max_consumers = kPlaces, .group_count = 2, .capacity_slots = 5};

SegmentMemory Built() {
  SegmentMemory memory(ControlFileBytes(kShape));
  BuildControl(memory.bytes(), kShape, SegmentId::Random());
  return memory;
}

std::string ErrorOf(const SegmentMemory& memory) {
  const auto view = ViewControl(memory.bytes());
  if (!view.ok()) {
    EXPECT_TRUE(absl::IsFailedPrecondition(view.status())) << view.status();
    return std::string(view.status().message());
  }
  EXPECT_GE(view->max_consumers(), 1u);
  // A sanitizer sees an entry out of bounds.
  EXPECT_GT(Touch(std::as_bytes(std::span(view->header, 1))), 0u);
  Touch(std::as_bytes(std::span(view->entries, view->max_consumers())));
  for (uint32_t group = 0; group < view->shape.group_count; ++group) {
    Touch(std::as_bytes(std::span(&view->group(group), 1)));
    Touch(std::as_bytes(view->claims(group)));
  }
  return "";
}

TEST(ControlSegmentTest, EveryPlaceIsFreeAndOfTheSegmentThatItWasBuiltFor) {
  constexpr ControlShape kLargest = {
      .max_consumers = kMaxConsumers, .group_count = kMaxGroups, .capacity_slots = kMaxCapacitySlots};
  const SegmentMemory memory(ControlFileBytes(kLargest));
  const SegmentId id = SegmentId::Random();
  BuildControl(memory.bytes(), kLargest, id);
  const auto view = ViewControl(memory.bytes());
  ASSERT_TRUE(view.ok()) << view.status();
  EXPECT_EQ(view->segment_id, id);
  ASSERT_EQ(view->shape, kLargest);
  for (uint32_t place = 0; place < kMaxConsumers; ++place)
    ASSERT_EQ(PhaseOf(view->entry(place).state.load()), Phase::kFree);
  // Boost leaves its own words in memory that it gives out again: no claim may be one.
  for (uint32_t group = 0; group < kMaxGroups; ++group) {
    ASSERT_EQ(view->claims(group).size(), kMaxCapacitySlots);
    for (uint64_t slot = 0; slot < kMaxCapacitySlots; ++slot)
      ASSERT_EQ(view->claims(group)[slot].load(), ClaimWord(slot, ClaimState::kOpen));
    ASSERT_EQ(view->group(group).releases.load(), 0u);
  }
}

TEST(ControlSegmentTest, ATruncatedSegmentIsRefusedWhereverItEnds) {
  const SegmentMemory whole = Built();
  for (size_t page_end = kPageBytes; page_end <= whole.bytes().size(); page_end += kPageBytes) {
    for (const size_t bytes : {page_end - 4095, page_end - 1000, page_end - 1, page_end}) {
      if (bytes == whole.bytes().size()) continue;
      ASSERT_THAT(ErrorOf(SegmentMemory(whole.bytes(), bytes)), HasSubstr("truncated")) << bytes;
    }
  }
}

TEST(ControlSegmentTest, ADataSegmentIsNotOne) {
  const SegmentMemory memory = Built();
  memory.Write(offsetof(Superblock, magic), kDataMagic);
  EXPECT_THAT(ErrorOf(memory), HasSubstr("not a segment of pylabhub"));
}

TEST(ControlSegmentTest, EntriesAnywhereElseThanBehindTheSuperblockAndInsideTheFileAreRefused) {
  const SegmentMemory whole = Built();
  const size_t header = whole.header_offset_bytes();
  const uint64_t last =
      (whole.bytes().size() - kPlaces * sizeof(ConsumerEntry)) / kSpacingBytes * kSpacingBytes;
  const SegmentMemory fits(whole.bytes());
  fits.Write(header + offsetof(ControlHeader, entries_offset_bytes), last);
  EXPECT_EQ(ErrorOf(fits), "");
  for (const uint64_t offset :
       {uint64_t{0}, uint64_t{kPageBytes - kSpacingBytes}, uint64_t{kPageBytes + 8}, last + kSpacingBytes,
        uint64_t{whole.bytes().size()}, UINT64_MAX, UINT64_MAX - 127}) {
    const SegmentMemory memory(whole.bytes());
    memory.Write(header + offsetof(ControlHeader, entries_offset_bytes), offset);
    EXPECT_THAT(ErrorOf(memory), HasSubstr("consumer entries at")) << offset;
  }
}

TEST(ControlSegmentTest, GroupsAnywhereElseThanInsideTheFileAreRefused) {
  const SegmentMemory whole = Built();
  for (const uint64_t offset : {uint64_t{0}, uint64_t{kPageBytes - kSpacingBytes}, uint64_t{kPageBytes + 8},
                                uint64_t{whole.bytes().size()}, UINT64_MAX, UINT64_MAX - 127}) {
    const SegmentMemory memory(whole.bytes());
    memory.Write(memory.header_offset_bytes() + offsetof(ControlHeader, groups_offset_bytes), offset);
    EXPECT_THAT(ErrorOf(memory), HasSubstr("2 groups at")) << offset;
  }
  for (const uint32_t count : {kMaxGroups + 1, UINT32_MAX}) {
    const SegmentMemory memory(whole.bytes());
    memory.Write(memory.header_offset_bytes() + offsetof(ControlHeader, group_count), count);
    EXPECT_THAT(ErrorOf(memory), HasSubstr("groups at")) << count;
  }
  for (const uint32_t slots : {0u, kMaxCapacitySlots, kMaxCapacitySlots + 1, UINT32_MAX}) {
    const SegmentMemory memory(whole.bytes());
    memory.Write(memory.header_offset_bytes() + offsetof(ControlHeader, capacity_slots), slots);
    EXPECT_THAT(ErrorOf(memory), HasSubstr("groups at")) << slots;
  }
}

// Found by tests/fuzz: an address was made of an offset that nobody had looked at.
TEST(ControlSegmentTest, GroupsThatThereAreNotAreNotPointedTo) {
  constexpr ControlShape kNoGroups = {.max_consumers = kPlaces, .group_count = 0, .capacity_slots = 0};
  const SegmentMemory memory(ControlFileBytes(kNoGroups));
  BuildControl(memory.bytes(), kNoGroups, SegmentId::Random());
  memory.Write(memory.header_offset_bytes() + offsetof(ControlHeader, groups_offset_bytes), UINT64_MAX);
  const auto view = ViewControl(memory.bytes());
  ASSERT_TRUE(view.ok()) << view.status();
  EXPECT_EQ(view->groups, nullptr);
}

TEST(ControlSegmentTest, MoreEntriesThanThereIsRoomForAreRefused) {
  const SegmentMemory whole = Built();
  for (const uint32_t places : {0u, 1000u, kMaxConsumers + 1, UINT32_MAX}) {
    const SegmentMemory memory(whole.bytes());
    memory.Write(memory.header_offset_bytes() + offsetof(ControlHeader, max_consumers), places);
    EXPECT_THAT(ErrorOf(memory), HasSubstr(std::to_string(places) + " consumer entries"));
  }
}

TEST(ControlSegmentTest, RandomDamageIsRefusedOrLeavesEveryEntryInBounds) {
  std::mt19937_64 random(pylabhub::testing::Seed());
  const SegmentMemory whole = Built();
  const SegmentMemory memory(whole.bytes());
  const size_t header = memory.header_offset_bytes();
  int refused = 0;
  constexpr int kRounds = 20'000;
  for (int round = 0; round < kRounds; ++round) {
    const size_t where = random() % 2 == 0   ? random() % sizeof(Superblock)
                         : random() % 4 != 0 ? header + random() % 32
                                             : random() % memory.bytes().size();
    memory.Write(where, static_cast<uint8_t>(memory.Read<uint8_t>(where) ^ (1u << random() % 8)));
    refused += ErrorOf(memory).empty() ? 0 : 1;
    std::memcpy(memory.bytes().data(), whole.bytes().data(), memory.bytes().size());
  }
  EXPECT_GT(refused, kRounds / 4);
}

}  // namespace
}  // namespace pylabhub::shm
