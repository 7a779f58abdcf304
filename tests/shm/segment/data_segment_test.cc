#include "shm/segment/data_segment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <random>
#include <string>
#include <vector>

#include "shm/segment/managed_memory.h"
#include "tests/shm/segment_memory.h"
#include "tests/support/seed.h"

namespace pylabhub::shm {
namespace {

using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr uint64_t kInlineBytes = 100;
constexpr uint64_t kChunkedBytes = 5000;

ChannelConfig Config(uint64_t slot_bytes) {
  ChannelConfig config{.channel = "segment.test", .capacity_slots = 4, .slot_bytes = slot_bytes};
  config.schema = {
      .name = "Reading",
      .record_bytes = 16,
      .fields = {{.name = "celsius", .type = ScalarType::kFloat64, .offset_bytes = 0, .unit = "Cel"},
                 {.name = "timestamp_ns", .type = ScalarType::kInt64, .offset_bytes = 8, .unit = "ns"}}};
  config.max_consumers = 3;
  config.policy = Policy::kPipeline;
  config.groups = {"filters", "loggers"};
  config.checksum = Checksum::kEnforced;
  config.max_patience = absl::Seconds(2);
  config.zone_schema = {
      .name = "Calibration",
      .record_bytes = 8,
      .fields = {{.name = "gain", .type = ScalarType::kFloat64, .offset_bytes = 0, .unit = "1"}}};
  config.zone_bytes = 200;
  return config.WithDefaults();
}

SegmentMemory Published(uint64_t slot_bytes) {
  const ChannelConfig config = Config(slot_bytes);
  SegmentMemory memory(DataFileBytes(config));
  BuildData(memory.bytes(), config, SegmentId::Random(), SegmentId::Random());
  PublishData(memory.bytes());
  return memory;
}

// "" for a sound segment. Reads all that the view points to, so that a sanitizer sees a part out of bounds.
std::string ErrorOf(const SegmentMemory& memory) {
  const auto view = ViewData(memory.bytes());
  if (!view.ok()) {
    EXPECT_TRUE(absl::IsFailedPrecondition(view.status())) << view.status();
    return std::string(view.status().message());
  }
  const Geometry& geometry = view->geometry;
  uint64_t sum = Touch(std::as_bytes(std::span(view->header, 1)));
  sum += Touch({view->base + geometry.cells_offset_bytes, geometry.cells_bytes()});
  // An inline segment has no chunks, and nobody asks where they are.
  if (!geometry.inline_payloads()) {
    sum += Touch({view->base + geometry.chunks_offset_bytes, geometry.chunks_bytes()});
    sum += Touch({view->base + geometry.chunk_sequences_offset_bytes, geometry.chunk_sequences_bytes()});
  }
  sum += Touch(std::as_bytes(view->places()));
  sum += Touch({view->base + geometry.zone_offset_bytes, geometry.zone_part_bytes()});
  EXPECT_NE(sum, 0u);
  return "";
}

TEST(DataSegmentTest, WhatWasBuiltIsWhatIsViewed) {
  for (const uint64_t slot_bytes : {kInlineBytes, kChunkedBytes}) {
    const SegmentMemory memory = Published(slot_bytes);
    ASSERT_EQ(ErrorOf(memory), "");
    const auto view = ViewData(memory.bytes());
    EXPECT_EQ(view->config.channel, "segment.test");
    EXPECT_EQ(view->config.capacity_slots, 4u);
    EXPECT_EQ(view->config.slot_bytes, slot_bytes);
    EXPECT_EQ(view->config.schema.fields[1].unit, "ns");
    EXPECT_EQ(view->config.policy, Policy::kPipeline);
    EXPECT_THAT(view->config.groups, ElementsAre("filters", "loggers"));
    EXPECT_EQ(view->config.checksum, Checksum::kEnforced);
    EXPECT_EQ(view->config.max_patience, absl::Seconds(2));
    EXPECT_EQ(view->config.zone_bytes, 200u);
    EXPECT_EQ(view->config.zone_schema.fields[0].name, "gain");
    EXPECT_EQ(view->schema_hash, HashOf(Config(slot_bytes).schema));
    EXPECT_FALSE(view->predecessor_id.is_nil());
  }
}

// Boost leaves its own words in memory that it gives out again: no stamp and no reservation may be one.
TEST(DataSegmentTest, ANewSegmentHasNoSlotAndNoReservationWhateverItsShape) {
  for (const uint64_t slot_bytes : {1, 100, 1024, 1025, 4000, 5000}) {
    for (const uint32_t capacity : {2, 3, 8, 64}) {
      for (const uint32_t consumers : {1, 4, 5, 64}) {
        ChannelConfig config{.channel = "segment.test", .capacity_slots = capacity, .slot_bytes = slot_bytes};
        config.max_consumers = consumers;
        config = config.WithDefaults();
        const SegmentMemory memory(DataFileBytes(config));
        const DataSegment built = BuildData(memory.bytes(), config, SegmentId::Random(), {});
        const Geometry& geometry = built.geometry;
        ASSERT_EQ(geometry.zone_part_bytes(), 0u);
        uint64_t sum = Touch({built.base + geometry.cells_offset_bytes, geometry.cells_bytes()});
        sum += Touch({built.base + geometry.chunk_sequences_offset_bytes, geometry.chunk_sequences_bytes()});
        sum += Touch(std::as_bytes(built.places()));
        ASSERT_EQ(sum, 0u) << slot_bytes << " bytes, " << capacity << " slots, " << consumers << " consumers";
      }
    }
  }
}

TEST(DataSegmentTest, ASegmentIsNotViewedBeforeItIsPublished) {
  const ChannelConfig config = Config(kInlineBytes);
  const SegmentMemory memory(DataFileBytes(config));
  BuildData(memory.bytes(), config, SegmentId::Random(), {});
  EXPECT_THAT(ErrorOf(memory), HasSubstr("not finished"));
}

TEST(DataSegmentTest, ATruncatedSegmentIsRefusedWhereverItEnds) {
  const SegmentMemory whole = Published(kChunkedBytes);
  const size_t file_bytes = whole.bytes().size();
  for (size_t page_end = kPageBytes; page_end <= file_bytes; page_end += kPageBytes) {
    for (const size_t bytes : {page_end - 4095, page_end - 1000, page_end - 1, page_end}) {
      if (bytes == file_bytes) continue;
      ASSERT_THAT(ErrorOf(SegmentMemory(whole.bytes(), bytes)), HasSubstr("truncated")) << bytes;
    }
  }
}

// The same, where the superblock claims the size that the file has: every part is checked by itself.
TEST(DataSegmentTest, ATruncatedSegmentThatLiesAboutItsSizeIsRefusedOrInBounds) {
  const SegmentMemory whole = Published(kChunkedBytes);
  for (size_t bytes = kPageBytes; bytes < whole.bytes().size(); bytes += 777) {
    const SegmentMemory cut(whole.bytes(), bytes);
    cut.Write(offsetof(Superblock, file_bytes), uint64_t{bytes});
    ErrorOf(cut);
  }
}

TEST(DataSegmentTest, EveryHeaderMemberThatIsDamagedIsNamed) {
  constexpr uint64_t kHuge = std::numeric_limits<uint64_t>::max();
  const struct {
    size_t offset_bytes;
    size_t bytes;
    std::vector<uint64_t> values;
    const char* word;
  } cases[] = {
      {offsetof(DataHeader, channel), 1, {0, 'A', '/'}, "channel name"},
      {offsetof(DataHeader, policy), 4, {0, 77, 257, UINT32_MAX}, "policy"},
      {offsetof(DataHeader, buffering), 4, {0, 77, 257, UINT32_MAX}, "buffer"},
      {offsetof(DataHeader, capacity_slots), 4, {0, 1, 65'537, UINT32_MAX}, "capacity_slots"},
      {offsetof(DataHeader, capacity_slots), 4, {2, 5, 65'536}, "strides"},
      {offsetof(DataHeader, max_consumers), 4, {0, 1025, UINT32_MAX}, "max_consumers"},
      {offsetof(DataHeader, max_pins), 4, {0, 16'385, UINT32_MAX}, "max_pins"},
      {offsetof(DataHeader, max_pins), 4, {1, 16'384}, "strides"},
      {offsetof(DataHeader, min_consumers), 4, {4, UINT32_MAX}, "min_consumers"},
      {offsetof(DataHeader, slot_bytes), 8, {0, 15, (uint64_t{1} << 30) + 1, kHuge}, "slot_bytes"},
      {offsetof(DataHeader, slot_bytes), 8, {100, 9000, uint64_t{1} << 30}, "strides"},
      {offsetof(DataHeader, cells_offset_bytes),
       8,
       {0, kPageBytes + 1, 1 << 20, kHuge, kHuge - 127},
       "cells"},
      {offsetof(DataHeader, cell_stride_bytes), 8, {0, 1, 128, kHuge}, "strides"},
      {offsetof(DataHeader, chunks_offset_bytes), 8, {0, kPageBytes + 1, kHuge, kHuge - 127}, "chunks"},
      {offsetof(DataHeader, chunk_stride_bytes), 8, {0, 1, kPageBytes, kHuge}, "strides"},
      {offsetof(DataHeader, chunk_sequences_offset_bytes), 8, {0, 8193, kHuge, kHuge - 7}, "chunk sequences"},
      {offsetof(DataHeader, places_offset_bytes), 8, {0, 8193, kHuge, kHuge - 7}, "places"},
      {offsetof(DataHeader, max_patience_ns), 8, {0, kHuge}, "max_patience"},
      {offsetof(DataHeader, checksum), 4, {0, 4, 257, UINT32_MAX}, "checksum"},
      {offsetof(DataHeader, group_count), 4, {0, 3, 9, UINT32_MAX}, "group"},
      {offsetof(DataHeader, groups), 1, {0, 'A', '/'}, "group name"},
      {offsetof(DataHeader, zone_offset_bytes), 8, {0, kPageBytes + 1, kHuge, kHuge - 127}, "zone"},
      {offsetof(DataHeader, zone_bytes), 8, {7, 1 << 20, kHuge}, "zone"},
      {offsetof(DataHeader, zone_schema_offset_bytes), 8, {0, 1 << 20, kHuge}, "schema"},
      {offsetof(DataHeader, zone_schema_bytes), 4, {0, 1, 1 << 20, UINT32_MAX}, "schema"},
      {offsetof(DataHeader, zone_schema_hash), 1, {0, 255}, "hash"},
      {offsetof(DataHeader, schema_offset_bytes), 8, {0, 1 << 20, kHuge}, "schema"},
      {offsetof(DataHeader, schema_bytes), 4, {0, 1, 1 << 20, UINT32_MAX}, "schema"},
      {offsetof(DataHeader, schema_hash), 1, {0, 255}, "hash"},
      {offsetof(DataHeader, chunk_count), 4, {0, 1, 65'536, UINT32_MAX}, "strides"},
      {offsetof(DataHeader, reservation_ttl_ns), 8, {kHuge, uint64_t{1} << 63}, "reservation_ttl"},
  };
  const SegmentMemory whole = Published(kChunkedBytes);
  for (const auto& damage : cases) {
    for (const uint64_t value : damage.values) {
      const SegmentMemory memory(whole.bytes());
      std::memcpy(memory.bytes().data() + memory.header_offset_bytes() + damage.offset_bytes, &value,
                  damage.bytes);
      // One member in 256 is what it was by chance.
      if (std::memcmp(memory.bytes().data(), whole.bytes().data(), memory.bytes().size()) == 0) continue;
      EXPECT_THAT(ErrorOf(memory), HasSubstr(damage.word)) << damage.offset_bytes << " = " << value;
    }
  }
}

TEST(DataSegmentTest, AnInlineSegmentChecksItsCellsToo) {
  const SegmentMemory whole = Published(kInlineBytes);
  for (const uint32_t capacity : {1000u, 65'536u}) {
    const SegmentMemory memory(whole.bytes());
    memory.Write(memory.header_offset_bytes() + offsetof(DataHeader, capacity_slots), capacity);
    EXPECT_THAT(ErrorOf(memory), HasSubstr("cells lie outside"));
  }
}

TEST(DataSegmentTest, ASchemaThatWasChangedIsRefused) {
  const SegmentMemory whole = Published(kInlineBytes);
  const auto header = whole.header_offset_bytes();
  const auto text = whole.Read<uint64_t>(header + offsetof(DataHeader, schema_offset_bytes));
  const auto text_bytes = whole.Read<uint32_t>(header + offsetof(DataHeader, schema_bytes));
  for (size_t i = 0; i < text_bytes; ++i) {
    for (const uint8_t flipped : {0x01, 0x20, 0x80}) {
      const SegmentMemory memory(whole.bytes());
      memory.Write(text + i, static_cast<uint8_t>(memory.Read<uint8_t>(text + i) ^ flipped));
      ASSERT_THAT(ErrorOf(memory), AnyOf(HasSubstr("schema"), HasSubstr("slot_bytes"))) << i;
    }
  }
}

// A consumer that knows the schema reads whole records: there must be room for one.
TEST(DataSegmentTest, ASchemaOfRecordsThatNoSlotCanHoldIsRefused) {
  const SegmentMemory memory = Published(kInlineBytes);
  const auto header = memory.header_offset_bytes();
  Schema larger = Config(kInlineBytes).schema;
  larger.record_bytes = 99;
  const auto write_larger = [&] {
    const std::string text = CanonicalText(larger);
    std::memcpy(
        memory.bytes().data() + memory.Read<uint64_t>(header + offsetof(DataHeader, schema_offset_bytes)),
        text.data(), text.size());
    memory.Write(header + offsetof(DataHeader, schema_bytes), static_cast<uint32_t>(text.size()));
    memory.Write(header + offsetof(DataHeader, schema_hash), HashOf(larger));
  };
  write_larger();
  ASSERT_EQ(ErrorOf(memory), "");
  larger.record_bytes = kInlineBytes + 1;
  write_larger();
  EXPECT_THAT(ErrorOf(memory), HasSubstr("slot_bytes 100 is less than one record of schema 'Reading' (101)"));
}

TEST(DataSegmentTest, RandomDamageIsRefusedOrLeavesEveryPartInBounds) {
  std::mt19937_64 random(pylabhub::testing::Seed());
  int refused = 0;
  constexpr int kRounds = 4000;
  for (const uint64_t slot_bytes : {kInlineBytes, kChunkedBytes}) {
    const SegmentMemory whole = Published(slot_bytes);
    const SegmentMemory memory(whole.bytes());
    const size_t header = memory.header_offset_bytes();
    const uint64_t interesting[] = {0, 1, kPageBytes, memory.bytes().size(), UINT32_MAX, UINT64_MAX, header};
    for (int round = 0; round < kRounds; ++round) {
      const int flips = 1 + static_cast<int>(random() % 3);
      for (int i = 0; i < flips; ++i) {
        // Most of it where numbers are: the superblock and the header.
        const size_t where = random() % 4 == 0   ? random() % (3 * kPageBytes)
                             : random() % 8 == 0 ? random() % sizeof(Superblock)
                                                 : header + random() % offsetof(DataHeader, progress);
        if (random() % 2 == 0) {
          memory.Write(where, static_cast<uint8_t>(memory.Read<uint8_t>(where) ^ (1u << random() % 8)));
        } else {
          const uint64_t near = random() % 3 - 1;
          memory.Write(where / 8 * 8, interesting[random() % std::size(interesting)] + near);
        }
      }
      refused += ErrorOf(memory).empty() ? 0 : 1;
      std::memcpy(memory.bytes().data(), whole.bytes().data(), 4 * kPageBytes);
    }
  }
  EXPECT_GT(refused, kRounds / 4);
}

// Any program with Boost finds the parts by name.
TEST(DataSegmentTest, BoostFindsThePartsByTheirNames) {
  namespace ipc = boost::interprocess;
  using Segment =
      ipc::basic_managed_external_buffer<char, ipc::rbtree_best_fit<ipc::null_mutex_family>, ipc::iset_index>;
  const SegmentMemory memory = Published(kChunkedBytes);
  const auto view = ViewData(memory.bytes());
  ASSERT_TRUE(view.ok());
  Segment segment(ipc::open_only, memory.bytes().data() + kPageBytes, memory.bytes().size() - kPageBytes);
  const auto offset_of = [&](const char* name) {
    const auto found = segment.get_segment_manager()->find_no_lock<uint64_t>(name);
    return found.first == nullptr ? 0 : *found.first;
  };
  EXPECT_EQ(offset_of("header"), memory.header_offset_bytes());
  EXPECT_EQ(offset_of("cells"), view->geometry.cells_offset_bytes);
  EXPECT_EQ(offset_of("chunks"), view->geometry.chunks_offset_bytes);
  EXPECT_EQ(offset_of("no such part"), 0u);
}

}  // namespace
}  // namespace pylabhub::shm
