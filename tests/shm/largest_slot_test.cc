// A slot of one gibibyte, the largest that there may be.
#include <gtest/gtest.h>
#include <sys/statvfs.h>

#include <memory>

#include "shm/data_block_consumer.h"
#include "shm/data_block_producer.h"
#include "tests/support/shm_folder.h"
#include "tests/support/stamped_slots.h"

namespace pylabhub::shm {
namespace {

using ::pylabhub::testing::IsStamped;
using ::pylabhub::testing::PutStamped;

constexpr absl::Duration kPatience = absl::Seconds(60);

bool HasRoomFor(uint64_t bytes) {
  struct statvfs info = {};
  return statvfs("/dev/shm", &info) == 0 && info.f_bavail * info.f_frsize > bytes + bytes / 4;
}

TEST(LargestSlotTest, ASlotOfOneGibibyteArrivesWholeAndOneByteMoreIsRefused) {
  // One slot that is kept, one that is written, one that is pinned.
  if (!HasRoomFor(3 * kMaxSlotBytes)) GTEST_SKIP() << "/dev/shm has less than 3.75 GiB free";
  pylabhub::testing::ShmFolder folder;
  ChannelConfig config = {.channel = "largest",
                          .policy = Policy::kPublishSubscribe,
                          .buffering = Buffering::kSingle,
                          .slot_bytes = kMaxSlotBytes,
                          .max_consumers = 1,
                          .directory = folder.path()};
  const auto producer = DataBlockProducer::Create(config);
  ASSERT_TRUE(producer.ok()) << producer.status();
  const auto consumer = DataBlockConsumer::Open("largest", {.directory = folder.path()});
  ASSERT_TRUE(consumer.ok()) << consumer.status();
  for (uint64_t slot = 0; slot < 2; ++slot) {
    ASSERT_EQ(PutStamped(**producer, kPatience), SlotResult::kOk);
    const ReadSlot read = (*consumer)->Acquire(kPatience);
    ASSERT_TRUE(read);
    EXPECT_EQ(read.payload().size(), kMaxSlotBytes);
    EXPECT_TRUE(IsStamped(read.payload(), slot));
  }
  config.channel = "larger";
  ++config.slot_bytes;
  EXPECT_TRUE(absl::IsInvalidArgument(DataBlockProducer::Create(config).status()));
}

}  // namespace
}  // namespace pylabhub::shm
