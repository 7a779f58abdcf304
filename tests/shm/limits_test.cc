// The largest and the smallest that there may be, on both sides of each limit, and what a channel costs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "shm/data_block_consumer.h"
#include "shm/data_block_producer.h"
#include "shm/segment/layout.h"
#include "tests/support/every_policy.h"
#include "tests/support/shm_folder.h"
#include "tests/support/stamped_slots.h"

namespace pylabhub::shm {
namespace {

using ::pylabhub::testing::IsStamped;
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
      struct stat info = {};
      EXPECT_EQ(stat((folder_.path() + "/" + name).c_str(), &info), 0);
      bytes += static_cast<uint64_t>(info.st_blocks) * 512;
    }
    return bytes;
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

// Its payload (capacity + 1 + declared pins chunks, which are whole pages from one page on; for small slots one for each),
// 64 KiB, 256 bytes a slot, 512 bytes a consumer.
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
          const ChannelConfig& made = producer->config();
          const uint64_t chunk_bytes =
              slot_bytes < kPageBytes ? slot_bytes : (slot_bytes + kPageBytes - 1) / kPageBytes * kPageBytes;
          const uint64_t chunks = slot_bytes <= kMaxInlineBytes ? capacity : capacity + 1 + made.max_pins;
          const uint64_t bound = chunks * chunk_bytes + uint64_t{64} * 1024 + uint64_t{256} * capacity +
                                 uint64_t{512} * consumers;
          EXPECT_LE(BytesUsed(), bound)
              << NameOf(policy) << ", slots of " << slot_bytes << " bytes, capacity " << capacity << ", "
              << consumers << " consumers, " << made.max_pins << " pins";
        }
      }
    }
  }
}

}  // namespace
}  // namespace pylabhub::shm
