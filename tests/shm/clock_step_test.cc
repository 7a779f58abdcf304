// Waits on a host whose clock is set: they last as long as they were asked to.
#include <fcntl.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include "shm/data_block_consumer.h"
#include "shm/data_block_producer.h"
#include "shm/os/kernel_lock.h"
#include "shm/segment_descriptors.h"
#include "tests/support/restless_clock.h"
#include "tests/support/settable_clock.h"
#include "tests/support/shm_folder.h"
#include "tests/support/socket_pair.h"
#include "tests/support/stamped_slots.h"

namespace pylabhub::shm {
namespace {

using ::pylabhub::testing::PutStamped;
using ::pylabhub::testing::SettableClock;
using ::pylabhub::testing::SocketPair;

constexpr absl::Duration kTimeout = absl::Milliseconds(100);
constexpr absl::Duration kPatience = absl::Seconds(20);

SettableClock* clock_of_this_host = nullptr;

class ClockStepTest : public ::testing::Test {
 protected:
  ChannelConfig Config() const {
    return {.channel = "clock.test", .capacity_slots = 2, .slot_bytes = 64, .directory = folder_.path()};
  }
  // `wait` gives up after kTimeout.
  template <typename Wait>
  static void ExpectToLast(Wait wait) {
    pylabhub::testing::ExpectToLast(*clock_of_this_host, absl::ToChronoMilliseconds(kTimeout), wait);
  }

  pylabhub::testing::ShmFolder folder_;
};

TEST_F(ClockStepTest, AChannelThatIsNotThereIsWaitedForAsLongAsItsConsumerSays) {
  ExpectToLast([&] {
    const auto consumer =
        DataBlockConsumer::Open("clock.test", {.open_timeout = kTimeout, .directory = folder_.path()});
    EXPECT_TRUE(absl::IsNotFound(consumer.status())) << consumer.status();
  });
}

TEST_F(ClockStepTest, ASuccessorIsWaitedForAsLongAsFollowIsTold) {
  auto producer = *DataBlockProducer::Create(Config());
  const auto consumer = *DataBlockConsumer::Open("clock.test", {.directory = folder_.path()});
  producer.reset();
  ExpectToLast([&] { EXPECT_TRUE(absl::IsDeadlineExceeded(consumer->Follow(kTimeout))); });
}

TEST_F(ClockStepTest, ASlotIsWaitedForAsLongAsAcquireIsTold) {
  const auto producer = *DataBlockProducer::Create(Config());
  const auto consumer = *DataBlockConsumer::Open("clock.test", {.directory = folder_.path()});
  ExpectToLast([&] { EXPECT_EQ(consumer->Acquire(kTimeout).result(), SlotResult::kTimeout); });
}

TEST_F(ClockStepTest, RoomIsWaitedForAsLongAsAcquireIsToldWhateverIsAskedOfTheProducerMeanwhile) {
  const auto producer = *DataBlockProducer::CreateSealed(Config());
  const auto reader = *DataBlockConsumer::OpenSealed(*producer->descriptors()->ForConsumer(0));
  for (int slot = 0; slot < 2; ++slot) ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  std::atomic<bool> is_over = false;
  std::thread dealer([&] {
    while (!is_over) EXPECT_TRUE(producer->RenewParts({}, std::vector<uint32_t>{1}).ok());
  });
  ExpectToLast([&] { EXPECT_EQ(producer->Acquire(kTimeout).result(), SlotResult::kTimeout); });
  is_over = true;
  dealer.join();
}

TEST_F(ClockStepTest, ASegmentIsWaitedForAsLongAsItsReceiverSays) {
  const SocketPair sockets;
  ExpectToLast(
      [&] { EXPECT_TRUE(absl::IsDeadlineExceeded(ReceiveSegment(sockets.second(), kTimeout).status())); });
}

TEST_F(ClockStepTest, ALockIsWaitedForAsLongAsItsPatienceLasts) {
  const std::string path = folder_.path() + "/lock";
  const auto open_file = [&] { return UniqueFd::Open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600); };
  const UniqueFd holder = open_file();
  const UniqueFd waiting = open_file();
  ASSERT_TRUE(*TryLockByte(holder.get(), 0));
  ExpectToLast([&] { EXPECT_FALSE(*TryLockByteFor(waiting.get(), 0, kTimeout)); });
  unlink(path.c_str());
}

}  // namespace
}  // namespace pylabhub::shm

int main(int argc, char** argv) {
  pylabhub::shm::clock_of_this_host = &pylabhub::testing::RestartWithSettableClock(argv);
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
