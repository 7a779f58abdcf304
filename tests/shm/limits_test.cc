// The largest and the smallest that there may be, on both sides of each limit, and what a channel costs.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "shm/data_block_consumer.h"
#include "shm/data_block_producer.h"
#include "shm/part_plan.h"
#include "shm/segment/layout.h"
#include "tests/support/every_policy.h"
#include "tests/support/shm_folder.h"
#include "tests/support/smaps.h"
#include "tests/support/stamped_slots.h"

namespace pylabhub::shm {
namespace {

using ::pylabhub::testing::CountPages;
using ::pylabhub::testing::IsStamped;
using ::pylabhub::testing::PageCount;
using ::pylabhub::testing::PutStamped;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr absl::Duration kPatience = absl::Seconds(60);

class LimitsTest : public ::testing::Test {
 protected:
  ChannelConfig Config(Policy policy, uint64_t slot_bytes, uint32_t capacity_slots) const {
    return {.channel = "limits.test",
            .policy = policy,
            .buffering = capacity_slots == 1 ? Buffering::kSingle : Buffering::kRingBuffer,
            .capacity_slots = capacity_slots,
            .slot_bytes = slot_bytes,
            .directory = folder_.path()};
  }
  static std::unique_ptr<DataBlockProducer> Create(const ChannelConfig& config) {
    auto producer = DataBlockProducer::Create(config);
    EXPECT_TRUE(producer.ok()) << producer.status();
    return producer.ok() ? *std::move(producer) : nullptr;
  }
  absl::StatusOr<std::unique_ptr<DataBlockConsumer>> Open() const {
    return DataBlockConsumer::Open("limits.test", {.directory = folder_.path()});
  }
  // Of memory, for all files of the channel.
  uint64_t BytesUsed() const {
    uint64_t bytes = 0;
    for (const std::string& name : folder_.Files()) {
      bytes += BytesOf(UniqueFd::Open(folder_.path() + "/" + name, O_RDONLY | O_CLOEXEC));
    }
    return bytes;
  }
  static uint64_t BytesOf(const UniqueFd& fd) {
    struct stat info = {};
    EXPECT_EQ(fstat(fd.get(), &info), 0);
    return static_cast<uint64_t>(info.st_blocks) * 512;
  }

  pylabhub::testing::ShmFolder folder_;
};

// Each consumer has the channel's two files open.
bool AllowFiles(rlim_t files) {
  rlimit limit = {};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = std::max(limit.rlim_cur, std::min(files, limit.rlim_max));
  return setrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur >= files;
}

void ExpectRefused(const absl::Status& status, const std::string& number) {
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("all its " + number + " consumers"), HasSubstr("max_consumers")));
}

TEST_F(LimitsTest, SixtyFourConsumersAttachUnlessTheProducerSaysMoreAndTheNextIsRefused) {
  const auto producer = Create(Config(Policy::kSyncReader, 64, 4));
  std::vector<std::unique_ptr<DataBlockConsumer>> consumers;
  for (int i = 0; i < 64; ++i) {
    auto opened = Open();
    ASSERT_TRUE(opened.ok()) << opened.status();
    consumers.push_back(*std::move(opened));
  }
  ExpectRefused(Open().status(), "64");
  consumers.pop_back();
  EXPECT_TRUE(Open().ok()) << "a place is free again";
}

TEST_F(LimitsTest, AThousandAndTwentyFourConsumersReadEverySlotAndTheNextIsRefused) {
  if (!AllowFiles(2 * kMaxConsumers + 64)) GTEST_SKIP() << "this process may not open 2,112 files";
  ChannelConfig config = Config(Policy::kSyncReader, 64, 4);
  config.max_consumers = kMaxConsumers;
  const auto producer = Create(config);
  std::vector<std::unique_ptr<DataBlockConsumer>> consumers;
  for (uint32_t i = 0; i < kMaxConsumers; ++i) {
    auto opened = Open();
    ASSERT_TRUE(opened.ok()) << i << ": " << opened.status();
    consumers.push_back(*std::move(opened));
  }
  EXPECT_EQ(producer->consumer_count(), kMaxConsumers);
  ExpectRefused(Open().status(), "1024");
  for (uint64_t slot = 0; slot < 6; ++slot) {
    ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
    for (const auto& consumer : consumers) {
      const ReadSlot read = consumer->Acquire(kPatience);
      ASSERT_EQ(read.sequence(), slot);
      ASSERT_TRUE(IsStamped(read.payload(), slot));
    }
  }
  config.max_consumers = kMaxConsumers + 1;
  EXPECT_TRUE(absl::IsInvalidArgument(DataBlockProducer::Create(config).status()));
}

TEST_F(LimitsTest, SixtyFiveThousandFiveHundredAndThirtySixSlotsAreKept) {
  for (const Policy policy : pylabhub::testing::kEveryPolicy) {
    const auto producer = Create(Config(policy, 64, kMaxCapacitySlots));
    const auto consumer =
        *DataBlockConsumer::Open("limits.test", {.order = ReadOrder::kNext, .directory = folder_.path()});
    for (uint32_t slot = 0; slot < kMaxCapacitySlots; ++slot)
      ASSERT_EQ(PutStamped(*producer, absl::ZeroDuration()), SlotResult::kOk) << NameOf(policy);
    if (IsLossless(policy)) {
      EXPECT_EQ(PutStamped(*producer, absl::ZeroDuration()), SlotResult::kTimeout);
    }
    for (uint32_t slot = 0; slot < kMaxCapacitySlots; ++slot) {
      const ReadSlot read = consumer->Acquire(kPatience);
      ASSERT_EQ(read.sequence(), slot) << NameOf(policy);
      ASSERT_TRUE(IsStamped(read.payload(), slot));
    }
  }
  EXPECT_TRUE(absl::IsInvalidArgument(
      DataBlockProducer::Create(Config(Policy::kSyncReader, 64, kMaxCapacitySlots + 1)).status()));
}

TEST_F(LimitsTest, ASlotOfOneByteCarriesIt) {
  for (const Policy policy : pylabhub::testing::kEveryPolicy) {
    const auto producer = Create(Config(policy, 1, 2));
    const auto consumer = *Open();
    for (int value = 0; value < 256; ++value) {
      WriteSlot slot = producer->Acquire(kPatience);
      ASSERT_EQ(slot.payload().size(), 1u);
      slot.payload()[0] = static_cast<std::byte>(value);
      ASSERT_EQ(slot.Commit(1), SlotResult::kOk);
      const ReadSlot read = consumer->Acquire(kPatience);
      ASSERT_EQ(read.payload().size(), 1u);
      ASSERT_EQ(read.payload()[0], static_cast<std::byte>(value));
    }
    EXPECT_EQ(producer->Acquire(kPatience).Commit(2), SlotResult::kTooLarge);
  }
}

// A channel of 12 MiB.
TEST_F(LimitsTest, EveryPageOfAChannelIsThereFromTheStartAndInHugePagesWhereTheKernelGivesThem) {
  const auto named = Create(Config(Policy::kPublishSubscribe, uint64_t{1} << 20, 3));
  const auto sealed = DataBlockProducer::CreateSealed(named->config());
  ASSERT_TRUE(sealed.ok()) << sealed.status();
  uint64_t huge_bytes = UINT64_MAX;
  for (const std::string& path : {folder_.path(), std::string("/memfd:pylabhub.limits.test.data")}) {
    const PageCount count =
        CountPages([&](const std::string& line) { return absl::StrContains(line, path); });
    EXPECT_GE(count.mapped_bytes, uint64_t{12} << 20) << path;
    EXPECT_EQ(count.resident_bytes, count.mapped_bytes) << path;
    huge_bytes = std::min(huge_bytes, count.huge_bytes);
  }
  if (huge_bytes == 0)
    GTEST_SKIP() << "this kernel gives no huge pages (Linux 6.1 does, unless it has none left)";
  EXPECT_GE(huge_bytes, uint64_t{10} << 20);
}

// The payload of a channel (capacity + 1 + declared pins chunks, which are whole pages from one page on; for small slots one
// for each), 64 KiB, 256 bytes a slot, 512 bytes a place.
uint64_t MostBytes(const ChannelConfig& config, uint64_t places) {
  const uint64_t chunk_bytes = config.slot_bytes < kPageBytes
                                   ? config.slot_bytes
                                   : (config.slot_bytes + kPageBytes - 1) / kPageBytes * kPageBytes;
  const uint64_t chunks = config.slot_bytes <= kMaxInlineBytes ? config.capacity_slots
                                                               : config.capacity_slots + 1 + config.max_pins;
  return chunks * chunk_bytes + uint64_t{64} * 1024 + uint64_t{256} * config.capacity_slots +
         uint64_t{512} * places;
}

std::string Described(const ChannelConfig& config) {
  return absl::StrCat(NameOf(config.policy), ", slots of ", config.slot_bytes, " bytes, capacity ",
                      config.capacity_slots, ", ", config.max_consumers, " consumers, ", config.max_pins,
                      " pins");
}

TEST_F(LimitsTest, AChannelCostsItsPayloadAndLittleMore) {
  for (const Policy policy : pylabhub::testing::kEveryPolicy) {
    for (const uint64_t slot_bytes : {1, 64, 1000, 1024, 1025, 4095, 4096, 4097, 100'000}) {
      for (const uint32_t capacity : {1u, 2u, 64u, 400u}) {
        for (const uint32_t consumers : {1u, 64u, 1024u}) {
          if (policy == Policy::kSingleReader && consumers != 1) continue;
          ChannelConfig config = Config(policy, slot_bytes, capacity);
          config.max_consumers = consumers;
          const auto producer = Create(config);
          ASSERT_NE(producer, nullptr);
          EXPECT_LE(BytesUsed(), MostBytes(producer->config(), consumers)) << Described(producer->config());
        }
      }
    }
  }
}

// Each part is memory of its own: whole pages, most of them Boost's. The bell is one page.
TEST_F(LimitsTest, HandedOverItCostsAFewPagesMoreForEachPart) {
  constexpr uint64_t kMostPartBytes = 6 * kPageBytes;
  for (const Policy policy : pylabhub::testing::kEveryPolicy) {
    for (const uint64_t slot_bytes : {64, 1025, 4096, 100'000}) {
      for (const uint32_t capacity : {1u, 64u, 400u}) {
        for (const uint32_t consumers : {1u, 64u}) {
          if (policy == Policy::kSingleReader && consumers != 1) continue;
          ChannelConfig config = Config(policy, slot_bytes, capacity);
          config.max_consumers = consumers;
          if (policy == Policy::kPipeline) config.groups = {"a", "b"};
          const auto producer = DataBlockProducer::CreateSealed(config);
          ASSERT_TRUE(producer.ok()) << producer.status();
          const SegmentDescriptors& memory = *(*producer)->descriptors();
          uint64_t bytes = BytesOf(memory.data) + BytesOf(memory.bell);
          for (const UniqueFd& part : memory.parts) bytes += BytesOf(part);
          const ChannelConfig& made = (*producer)->config();
          const uint64_t places = CountPlaces(PlanParts(made));
          EXPECT_LE(bytes, MostBytes(made, places) + kMostPartBytes * memory.parts.size() + kBellBytes)
              << Described(made);
        }
      }
    }
  }
}

}  // namespace
}  // namespace pylabhub::shm
