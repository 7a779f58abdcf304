// Payloads that are not what their producer committed. The test plays the fault: it flips bytes through a mapping of its
// own, which can write.
#include "shm/ring/checksum.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <tuple>

#include "shm/data_block_consumer.h"
#include "shm/data_block_producer.h"
#include "shm/typed.h"
#include "tests/shm/writable_data.h"
#include "tests/support/shm_folder.h"

namespace pylabhub::shm {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(20);

std::span<const std::byte> Bytes(const std::string& text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

// Where the payload lies and how it is read: in place, copied, or pinned.
using Shape = std::tuple<Policy, ReadOrder, uint64_t>;

class ChecksumTest : public ::testing::TestWithParam<Shape> {
 protected:
  void Start(Checksum checksum) {
    const auto [policy, order, slot_bytes] = GetParam();
    auto producer = DataBlockProducer::Create({.channel = "checksum.test",
                                               .policy = policy,
                                               .capacity_slots = 4,
                                               .slot_bytes = slot_bytes,
                                               .max_pins = 3,
                                               .checksum = checksum,
                                               .directory = folder_.path()});
    ASSERT_TRUE(producer.ok()) << producer.status();
    producer_ = *std::move(producer);
    auto consumer = DataBlockConsumer::Open("checksum.test",
                                            {.order = order, .max_batch = 3, .directory = folder_.path()});
    ASSERT_TRUE(consumer.ok()) << consumer.status();
    consumer_ = *std::move(consumer);
    data_ = std::make_unique<WritableData>(folder_);
  }

  void Put(const std::string& text, bool add_checksum = false) {
    WriteSlot slot = producer_->Acquire(kPatience);
    ASSERT_TRUE(slot);
    std::memcpy(slot.payload().data(), text.data(), text.size());
    if (add_checksum) slot.AddChecksum();
    ASSERT_EQ(slot.Commit(text.size()), SlotResult::kOk);
  }
  // What is read, or the answer where there is no slot.
  std::string Get(absl::Duration timeout = kPatience) {
    ReadSlot slot = consumer_->Acquire(timeout);
    if (!slot) return std::string(NameOf(slot.result()));
    return {reinterpret_cast<const char*>(slot.payload().data()), slot.payload().size()};
  }
  // A payload that fills the slot.
  std::string Whole(char letter) const { return std::string(std::get<uint64_t>(GetParam()), letter); }

  pylabhub::testing::ShmFolder folder_;
  std::unique_ptr<DataBlockProducer> producer_;
  std::unique_ptr<DataBlockConsumer> consumer_;
  std::unique_ptr<WritableData> data_;
};

// Fault 5 of the original: a corrupt slot was read again for ever.
TEST_P(ChecksumTest, ACorruptSlotIsReportedOnceCountedAndSkipped) {
  Start(Checksum::kEnforced);
  const size_t last = Whole('x').size() - 1;
  for (const size_t index : {size_t{0}, last / 2, last}) {
    const uint64_t corrupt = producer_->next_sequence();
    Put(Whole('a'));
    data_->Flip(corrupt, index);
    EXPECT_EQ(Get(), "corrupt") << index;
    EXPECT_EQ(Get(absl::ZeroDuration()), "timeout");
    Put(Whole('b'));
    ReadSlot next = consumer_->Acquire(kPatience);
    ASSERT_TRUE(next);
    EXPECT_EQ(next.sequence(), corrupt + 1);
    EXPECT_EQ(next.missed_slots(), 1u) << "the corrupt one was not received";
    EXPECT_EQ(next.Verify(), SlotResult::kOk);
    EXPECT_EQ(next.payload()[index], std::byte{'b'});
  }
  EXPECT_EQ(consumer_->Stats().corrupt_slots, 3u);
  EXPECT_EQ(consumer_->Stats().received_slots, 3u);
}

TEST_P(ChecksumTest, ACorruptSlotIsGivenBackToAProducerThatWaitsForIt) {
  Start(Checksum::kEnforced);
  for (uint64_t i = 0; i < 40; ++i) {
    Put(Whole('a'));
    data_->Flip(i, 0);
    EXPECT_EQ(Get(), "corrupt");
  }
  EXPECT_EQ(consumer_->Stats().corrupt_slots, 40u);
}

TEST_P(ChecksumTest, AnEnforcedSlotWithoutAChecksumIsCorrupt) {
  Start(Checksum::kEnforced);
  Put("one");
  data_->descriptor(0).flags.store(0);
  EXPECT_EQ(Get(), "corrupt");
  Put("two");
  data_->descriptor(1).checksum.fetch_xor(1);
  EXPECT_EQ(Get(), "corrupt");
  Put("three");
  EXPECT_EQ(Get(), "three");
}

TEST_P(ChecksumTest, ADescriptorThatMakesNoSenseIsCountedToo) {
  Start(Checksum::kNone);
  Put("one");
  data_->descriptor(0).payload_bytes.store(uint64_t{1} << 40);
  EXPECT_EQ(Get(), "corrupt");
  EXPECT_EQ(consumer_->Stats().corrupt_slots, 1u);
  Put("two");
  EXPECT_EQ(Get(), "two");
}

// Fault 13 of the original: the number of bytes written was not stored, and checksums covered the whole stride.
TEST_P(ChecksumTest, AChecksumCoversTheBytesThatWereWrittenAndNoOthers) {
  Start(Checksum::kEnforced);
  Put("short");
  EXPECT_EQ(data_->descriptor(0).payload_bytes.load(), 5u);
  EXPECT_EQ(data_->descriptor(0).checksum.load(), ChecksumOf(Bytes("short")));
  for (size_t i = 5; i < Whole('x').size(); ++i) data_->Flip(0, i);
  EXPECT_EQ(Get(), "short");
  Put("");
  EXPECT_EQ(data_->descriptor(1).checksum.load(), ChecksumOf({}));
  data_->Flip(1, 0);
  EXPECT_EQ(Get(), "");
  EXPECT_EQ(consumer_->Stats().corrupt_slots, 0u);
}

TEST_P(ChecksumTest, AManualChecksumIsAddedAndVerifiedWhereSomebodyAsks) {
  Start(Checksum::kManual);
  Put("with", /*add_checksum=*/true);
  {
    ReadSlot slot = consumer_->Acquire(kPatience);
    EXPECT_EQ(slot.Verify(), SlotResult::kOk);
  }
  Put("without");
  {
    ReadSlot slot = consumer_->Acquire(kPatience);
    EXPECT_EQ(slot.Verify(), SlotResult::kNoChecksum);
  }
  Put("damaged", /*add_checksum=*/true);
  data_->Flip(2, 3);
  {
    ReadSlot slot = consumer_->Acquire(kPatience);
    ASSERT_TRUE(slot) << "a manual checksum is nobody's business but the reader's";
    EXPECT_EQ(slot.Verify(), SlotResult::kCorrupt);
    EXPECT_EQ(slot.Verify(), SlotResult::kCorrupt);
    EXPECT_EQ(slot.Release(), SlotResult::kOk);
  }
  EXPECT_EQ(consumer_->Stats().corrupt_slots, 1u);
}

TEST_P(ChecksumTest, AnAbortedSlotTakesTheWishForAChecksumAlong) {
  Start(Checksum::kManual);
  {
    WriteSlot aborted = producer_->Acquire(kPatience);
    aborted.AddChecksum();
  }
  Put("plain");
  ReadSlot slot = consumer_->Acquire(kPatience);
  EXPECT_EQ(slot.Verify(), SlotResult::kNoChecksum);
}

TEST_P(ChecksumTest, TheSlotsOfABatchHaveAChecksumEach) {
  Start(Checksum::kManual);
  constexpr std::array<size_t, 3> kBytes = {10, 20, 30};
  WriteBatch written = producer_->AcquireBatch(3, kPatience);
  ASSERT_EQ(written.size(), 3u);
  for (size_t i = 0; i < 3; ++i) std::memset(written.payload(i).data(), 'a' + static_cast<int>(i), kBytes[i]);
  written.AddChecksums();
  ASSERT_EQ(written.Commit(kBytes), SlotResult::kOk);
  EXPECT_EQ(data_->descriptor(1).checksum.load(), ChecksumOf(Bytes(std::string(20, 'b'))));
  data_->Flip(2, 29);
  Put("behind the batch");
  EXPECT_EQ(data_->descriptor(3).flags.load(), 0u);
  if (std::get<ReadOrder>(GetParam()) == ReadOrder::kLatest) return;
  {
    ReadBatch read = consumer_->AcquireBatch(3, kPatience);
    ASSERT_EQ(read.size(), 3u);
    EXPECT_EQ(read.Verify(0), SlotResult::kOk);
    EXPECT_EQ(read.Verify(1), SlotResult::kOk);
    EXPECT_EQ(read.Verify(2), SlotResult::kCorrupt);
  }
  EXPECT_EQ(Get(), "behind the batch");
}

TEST_P(ChecksumTest, ACorruptSlotInABatchIsReportedWhenItsTurnComes) {
  Start(Checksum::kEnforced);
  if (std::get<ReadOrder>(GetParam()) == ReadOrder::kLatest) return;
  for (const char* text : {"one", "two", "three"}) Put(text);
  data_->Flip(1, 0);
  EXPECT_EQ(consumer_->AcquireBatch(3, kPatience).size(), 1u);
  EXPECT_EQ(consumer_->AcquireBatch(3, kPatience).result(), SlotResult::kCorrupt);
  EXPECT_EQ(Get(), "three");
  EXPECT_EQ(consumer_->Stats().corrupt_slots, 1u);
}

TEST_P(ChecksumTest, AChannelWithoutChecksumsHasNone) {
  Start(Checksum::kNone);
  Put("plain", /*add_checksum=*/true);
  EXPECT_EQ(data_->descriptor(0).flags.load(), 0u);
  ReadSlot slot = consumer_->Acquire(kPatience);
  EXPECT_EQ(slot.Verify(), SlotResult::kNoChecksum);
}

TEST_P(ChecksumTest, ASlotThatIsOverwrittenWhileItIsReadIsNotCalledCorrupt) {
  Start(Checksum::kEnforced);
  constexpr uint64_t kSlots = 20'000;
  std::thread writer([&] {
    for (uint64_t i = 0; i < kSlots; ++i) Put(std::string(1 + i % 200, static_cast<char>('a' + i % 26)));
    producer_.reset();
  });
  uint64_t received = 0;
  uint64_t missed = 0;
  SlotResult end = SlotResult::kOk;
  while (end == SlotResult::kOk) {
    ReadSlot slot = consumer_->Acquire(kPatience);
    end = slot.result();
    if (!slot) break;
    ++received;
    missed += slot.missed_slots();
  }
  writer.join();
  EXPECT_EQ(end, SlotResult::kProducerClosed);
  EXPECT_EQ(received + missed, kSlots);
  const auto [policy, order, slot_bytes] = GetParam();
  if (!IsLossless(policy) || order == ReadOrder::kLatest) {
    EXPECT_GT(missed, 0u) << "nothing was overwritten: the race was not run";
  }
}

std::string ShapeName(const ::testing::TestParamInfo<Shape>& info) {
  const auto [policy, order, slot_bytes] = info.param;
  return std::string(NameOf(policy)) + (order == ReadOrder::kNext ? "_next_" : "_latest_") +
         std::to_string(slot_bytes);
}

// Who reads the latest of a pipeline only looks on, and its producer waits for the group.
INSTANTIATE_TEST_SUITE_P(Groups, ChecksumTest,
                         ::testing::Combine(::testing::Values(Policy::kPipeline),
                                            ::testing::Values(ReadOrder::kNext),
                                            ::testing::Values(uint64_t{200}, uint64_t{5000})),
                         ShapeName);

INSTANTIATE_TEST_SUITE_P(Shapes, ChecksumTest,
                         ::testing::Combine(::testing::Values(Policy::kSyncReader, Policy::kSingleReader,
                                                              Policy::kPublishSubscribe, Policy::kLatestOnly),
                                            ::testing::Values(ReadOrder::kNext, ReadOrder::kLatest),
                                            ::testing::Values(uint64_t{200}, uint64_t{5000})),
                         ShapeName);

TEST(ChecksumValueTest, IsXxh3With64Bits) {
  // Of xxHash's specification: of nothing, with seed 0.
  EXPECT_EQ(ChecksumOf({}), 0x2D06800538D394C2u);
  EXPECT_NE(ChecksumOf(Bytes("a")), ChecksumOf(Bytes("b")));
}

struct Reading {
  double value;
};
PYLABHUB_SCHEMA(Reading, (value, "V"));

TEST(TypedChecksumTest, ATypedSlotHasItsChecksumVerified) {
  pylabhub::testing::ShmFolder folder;
  auto producer = Producer<Reading>::Create("typed.checksum",
                                            {.checksum = Checksum::kManual, .directory = folder.path()});
  ASSERT_TRUE(producer.ok()) << producer.status();
  auto consumer = Consumer<Reading>::Open("typed.checksum", {.directory = folder.path()});
  ASSERT_TRUE(consumer.ok()) << consumer.status();
  TypedWriteSlot<Reading> written = producer->Acquire(kPatience);
  *written = {1.5};
  written.AddChecksum();
  ASSERT_EQ(written.Commit(), SlotResult::kOk);
  TypedReadSlot<Reading> read = consumer->Acquire(kPatience);
  EXPECT_EQ(read.Verify(), SlotResult::kOk);
}

}  // namespace
}  // namespace pylabhub::shm
