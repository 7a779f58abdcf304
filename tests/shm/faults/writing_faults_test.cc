// Faults of an earlier system (docs/tests.md lists all 21), each with a test that would have caught it: those of who writes.
#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <string>

#include "shm/data_block_consumer.h"
#include "shm/data_block_producer.h"
#include "shm/segment/data_segment.h"
#include "tests/shm/faults/fault_fixture.h"
#include "tests/shm/segment_memory.h"
#include "tests/support/child_process.h"

namespace pylabhub::shm {
namespace {

using ::pylabhub::testing::ChildProcess;

constexpr Policy kLosslessPolicies[] = {Policy::kSingleReader, Policy::kSyncReader, Policy::kPipeline};

// Then, the reader stalled at the number that never came, and the producer blocked behind it for good.
TEST_F(FaultTest, F01AnAbortedWriteBurnsNoNumber) {
  for (const Policy policy : kLosslessPolicies) {
    const auto producer = Create(Config(policy));
    const auto consumer = Open();
    constexpr uint64_t kSlots = 20;  // five times round the ring
    for (uint64_t slot = 0; slot < kSlots; ++slot) {
      { const WriteSlot aborted_by_its_destructor = producer->Acquire(kPatience); }
      producer->Acquire(kPatience).Abort();
      EXPECT_EQ(producer->Acquire(kPatience).Commit(65), SlotResult::kTooLarge);
      ASSERT_EQ(Put(*producer, std::to_string(slot)), SlotResult::kOk) << NameOf(policy);
      const ReadSlot read = consumer->Acquire(kPatience);
      ASSERT_TRUE(read) << NameOf(read.result());
      ASSERT_EQ(read.sequence(), slot);
      ASSERT_EQ(read.missed_slots(), 0u);
      ASSERT_EQ(Text(read), std::to_string(slot));
    }
    EXPECT_EQ(producer->Stats().aborted_slots, 3 * kSlots);
  }
}

// Then, two writers shared an index, and the one that came second moved it back.
TEST_F(FaultTest, F09ASecondWriterCannotMoveTheCommitIndex) {
  const auto producer = Create(Config(Policy::kPublishSubscribe));
  const auto consumer = Open();
  PutNumbers(*producer, 0, 3);

  EXPECT_TRUE(absl::IsAlreadyExists(DataBlockProducer::Create(Config(Policy::kPublishSubscribe)).status()));
  ChildProcess in_another_process([&](const ChildProcess::Line&) {
    const auto second = DataBlockProducer::Create(Config(Policy::kPublishSubscribe));
    return absl::IsAlreadyExists(second.status()) ? 0 : 1;
  });
  EXPECT_EQ(in_another_process.Wait(), 0);
  ChildProcess with_its_parents_handle([&](const ChildProcess::Line&) {
    return Put(*producer, "from a child") == SlotResult::kForked ? 0 : 1;
  });
  EXPECT_EQ(with_its_parents_handle.Wait(), 0);

  EXPECT_EQ(producer->next_sequence(), 3u);
  PutNumbers(*producer, 3, 4);
  for (uint64_t slot = 0; slot < 4; ++slot) {
    const ReadSlot read = consumer->Acquire(kPatience);
    ASSERT_EQ(read.sequence(), slot);
    ASSERT_EQ(Text(read), std::to_string(slot));
  }
  EXPECT_EQ(Get(*consumer, absl::ZeroDuration()), "timeout");
}

// Then, who opened a segment at the wrong moment read hashes that were not there yet.
TEST_F(FaultTest, F10ASegmentIsPublishedByOneWordAfterAllTheRest) {
  ChannelConfig config = Config(Policy::kSyncReader);
  config.zone_bytes = 40;
  config = config.WithDefaults();
  const SegmentMemory memory(DataFileBytes(config));
  EXPECT_FALSE(ViewData(memory.bytes()).ok());
  BuildData(memory.bytes(), config, SegmentId::Random(), SegmentId{});
  EXPECT_FALSE(ViewData(memory.bytes()).ok()) << "it can be opened before it is published";

  const SegmentMemory built(memory.bytes());
  PublishData(memory.bytes());
  ASSERT_TRUE(ViewData(memory.bytes()).ok());
  EXPECT_EQ(ViewData(memory.bytes())->schema_hash, HashOf(config.schema));
  constexpr size_t kMagicEnd = offsetof(Superblock, magic) + sizeof(uint64_t);
  EXPECT_EQ(std::memcmp(memory.bytes().data() + kMagicEnd, built.bytes().data() + kMagicEnd,
                        memory.bytes().size() - kMagicEnd),
            0)
      << "something was written together with the magic";
}

// Then, a reader got the whole slot, old bytes and all, and a checksum cost ten times the copy.
TEST_F(FaultTest, F13TheNumberOfBytesWrittenIsStoredAndNoOthersAreChecked) {
  for (const uint64_t slot_bytes : {uint64_t{64}, uint64_t{8192}}) {
    ChannelConfig config = Config(Policy::kSyncReader, slot_bytes);
    config.checksum = Checksum::kEnforced;
    const auto producer = Create(config);
    const auto consumer = Open();
    const Mapping data = DataOf(*producer);
    for (const size_t bytes : {size_t{0}, size_t{1}, size_t{63}, static_cast<size_t>(slot_bytes)}) {
      const uint64_t sequence = producer->next_sequence();
      WriteSlot slot = producer->Acquire(kPatience);
      std::memset(slot.payload().data(), 0xAA, slot.payload().size());  // what an earlier slot left behind
      std::memset(slot.payload().data(), 7, bytes);
      ASSERT_EQ(slot.Commit(bytes), SlotResult::kOk);
      if (bytes < slot_bytes) PayloadOf(data, sequence)[bytes] ^= std::byte{1};
      const ReadSlot read = consumer->Acquire(kPatience);
      ASSERT_TRUE(read) << NameOf(read.result());
      ASSERT_EQ(Text(read), std::string(bytes, '\7'));
    }
    Put(*producer, "checked");
    PayloadOf(data, producer->next_sequence() - 1)[6] ^= std::byte{1};
    EXPECT_EQ(Get(*consumer), "corrupt") << "the bytes that were written are not checked";
  }
}

}  // namespace
}  // namespace pylabhub::shm
