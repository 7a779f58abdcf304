// Who lost the right to a channel keeps what it has mapped, in which nothing is written any more.

#include <gtest/gtest.h>

#include <chrono>
#include <memory>

#include "absl/time/clock.h"
#include "client/channel.h"
#include "client/error_reason.h"
#include "client/grpc_broker_connection.h"
#include "client/messenger.h"
#include "tests/access/lab.h"
#include "tests/support/stamped_slots.h"
#include "tests/support/temp_folder.h"

namespace pylabhub {
namespace {

using testing::IsStamped;
using testing::PutStamped;

constexpr char kChannel[] = "camera.left";
constexpr absl::Duration kPatience = absl::Seconds(20);
constexpr absl::Duration kLeaseTtl = absl::Seconds(2);

class HandOverRevocationTest : public ::testing::Test {
 protected:
  HandOverRevocationTest() {
    lab_.Stop();
    lab_.options().hand_over.socket = folder_ / "s";
    lab_.options().registry.lease_ttl = kLeaseTtl;
    lab_.Start();
  }

  std::unique_ptr<Messenger> MessengerOf(const std::string& identity) {
    auto messenger =
        Messenger::Create(NewGrpcBrokerConnection(lab_.broker().target(), "", lab_.Client(identity)), {});
    EXPECT_TRUE(messenger.ok()) << messenger.status();
    return *std::move(messenger);
  }
  static ChannelConsumer ConsumerOf(Messenger& messenger) {
    absl::StatusOr<ChannelConsumer> consumer = ConnectChannel(kChannel, kPatience, &messenger);
    EXPECT_TRUE(consumer.ok()) << consumer.status();
    return *std::move(consumer);
  }

  const testing::TempFolder folder_{"/tmp"};
  testing::Lab lab_;
};

TEST_F(HandOverRevocationTest, ARevokedConsumerSeesNoLaterSlotAndTheOthersMissNone) {
  const auto producers = MessengerOf("producer");
  const auto anns = MessengerOf("ann");
  const auto mallorys = MessengerOf("mallory");
  absl::StatusOr<ChannelProducer> producer = CreateChannel({.channel = kChannel,
                                                            .policy = shm::Policy::kPublishSubscribe,
                                                            .capacity_slots = 16,
                                                            .slot_bytes = 4096,
                                                            .max_consumers = 4},
                                                           producers.get());
  ASSERT_TRUE(producer.ok()) << producer.status();
  ChannelConsumer ann = ConsumerOf(*anns);
  ChannelConsumer mallory = ConsumerOf(*mallorys);
  const shm::SegmentId first = producer->block->segment_id();
  const auto write_and_read = [&](ChannelConsumer& consumer, uint64_t number) {
    ASSERT_EQ(PutStamped(*producer->block, kPatience), shm::SlotResult::kOk);
    if (producer->block->segment_id() != consumer.block->segment_id()) return;
    const shm::ReadSlot slot = consumer.block->Acquire(kPatience);
    ASSERT_TRUE(slot);
    EXPECT_EQ(slot.missed_slots(), 0u);
    EXPECT_TRUE(IsStamped(slot.payload(), number));
  };
  for (uint64_t i = 0; i < 10; ++i) write_and_read(ann, i);
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(mallory.block->Acquire(kPatience));

  lab_.RevokeIdentity("mallory");
  const absl::Time revoked = absl::Now();
  ASSERT_TRUE(lab_.broker().Reload().ok());
  for (uint64_t i = 10; producer->block->segment_id() == first; ++i) {
    ASSERT_LT(absl::Now(), revoked + kPatience);
    write_and_read(ann, i);
  }
  // Within an interval of its heartbeats, and what a busy machine takes.
  EXPECT_LT(absl::Now() - revoked, kLeaseTtl * 3 / 10 + absl::Seconds(5));

  // The one that brought the change is in the new segment; Ann goes on with it.
  EXPECT_EQ(ann.block->Acquire(kPatience).result(), shm::SlotResult::kProducerClosed);
  ASSERT_TRUE(Follow(ann, kPatience).ok());
  {
    const shm::ReadSlot slot = ann.block->Acquire(kPatience);
    ASSERT_TRUE(slot);
    EXPECT_EQ(slot.sequence(), 0u);
    EXPECT_TRUE(IsStamped(slot.payload(), 0));
  }
  for (uint64_t i = 1; i < 50; ++i) write_and_read(ann, i);
  // Mallory reads what was there, and then nothing, however much is written.
  while (mallory.block->Acquire(absl::ZeroDuration())) {
  }
  EXPECT_EQ(mallory.block->Acquire(absl::ZeroDuration()).result(), shm::SlotResult::kProducerClosed);
  EXPECT_EQ(mallory.block->segment_id(), first);
  const absl::Status followed = Follow(mallory, absl::Milliseconds(100));
  EXPECT_EQ(ReasonOf(followed), "CERTIFICATE_REVOKED") << followed;
}

}  // namespace
}  // namespace pylabhub
