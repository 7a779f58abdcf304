// A channel that is handed over, while consumers are killed, evicted and replaced at random, and its producer moves on again and
// again: who stays loses nothing, and nobody reads a wrong byte.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "shm/data_block_consumer.h"
#include "shm/data_block_producer.h"
#include "tests/support/child_process.h"
#include "tests/support/seed.h"
#include "tests/support/socket_pair.h"
#include "tests/support/stamped_slots.h"

namespace pylabhub::shm {
namespace {

using ::pylabhub::testing::ChildProcess;
using ::pylabhub::testing::IsStamped;
using ::pylabhub::testing::PutStamped;
using ::pylabhub::testing::ReadStamped;
using ::pylabhub::testing::SocketPair;

constexpr absl::Duration kPatience = absl::Seconds(20);
constexpr absl::Duration kStorm = absl::Milliseconds(1'200);
constexpr uint32_t kVisitors = 3;  // at the places behind the one who stays

// What visitors saw, in memory that they share with the test.
struct Tally {
  std::atomic<uint64_t> read;
  std::atomic<uint64_t> wrong;
};

// Reads until its segment ends, or it is evicted or killed.
int Visit(int socket, Tally& tally) {
  auto received = ReceiveSegment(socket, kPatience);
  if (!received.ok()) return 1;
  auto consumer = DataBlockConsumer::OpenSealed(received->descriptors);
  // The place is kept for the visitor before, until the producer has seen that it is dead.
  while (absl::IsResourceExhausted(consumer.status())) {
    std::this_thread::yield();
    consumer = DataBlockConsumer::OpenSealed(received->descriptors);
  }
  if (!consumer.ok()) return 2;
  while (ReadSlot slot = (*consumer)->Acquire(kPatience)) {
    const bool right = IsStamped(slot.payload(), slot.sequence());
    ++tally.read;
    // Who was evicted while it held a slot is told that it may have changed.
    if (slot.Release() == SlotResult::kOk && !right) ++tally.wrong;
  }
  return 0;
}

class Storm {
 public:
  Storm()
      : producer_(*DataBlockProducer::CreateSealed({.channel = "storm.test",
                                                    .capacity_slots = 4,
                                                    .slot_bytes = 2048,
                                                    .max_consumers = 1 + kVisitors})),
        all_(*producer_->DuplicateDescriptors()),
        stays_(*DataBlockConsumer::OpenSealed(*all_.descriptors.ForConsumer(0))),
        visitors_(kVisitors),
        random_(pylabhub::testing::Seed()),
        tally_(new (mmap(nullptr, sizeof(Tally), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0))
                   Tally{}) {}
  ~Storm() { munmap(static_cast<void*>(tally_), sizeof(Tally)); }

  void Run() {
    for (uint32_t i = 0; i < kVisitors; ++i) Invite(i);
    std::thread writer([&] {
      while (!stop_) {
        ASSERT_EQ(PutStamped(*producer_, kPatience), SlotResult::kOk);
        ++written_;
      }
    });
    std::thread reader([&] { ReadAll(); });
    for (const absl::Time end = absl::Now() + kStorm; absl::Now() < end && !::testing::Test::HasFailure();) {
      const uint32_t visitor = random_() % kVisitors;
      switch (random_() % 4) {
        case 0:
          visitors_[visitor]->Kill();
          ++kills_;
          break;
        case 1:
          MoveOn(visitor);
          break;
        default:
          break;
      }
      Replace(visitor);
    }
    stop_ = true;
    writer.join();
    Stop();
    reader.join();
  }

  uint64_t written() const { return written_; }
  uint64_t read() const { return read_; }
  const Tally& visitors() const { return *tally_; }
  int kills() const { return kills_; }
  int moves() const { return moves_; }

 private:
  void Invite(uint32_t visitor) {
    SocketPair sockets;
    visitors_[visitor] = std::make_unique<ChildProcess>(
        [&](const ChildProcess::Line&) { return Visit(sockets.second(), *tally_); });
    const auto descriptors = all_.descriptors.ForConsumer(1 + visitor);
    ASSERT_TRUE(descriptors.ok()) << descriptors.status();
    ASSERT_TRUE(SendSegment(sockets.first(), *descriptors, "", kPatience).ok());
  }

  // Takes the visitor's place away, wherever it is with it, and gives it to another.
  void Replace(uint32_t visitor) {
    const auto renewed = producer_->RenewParts(all_.segment_id, std::vector<uint32_t>{1 + visitor});
    ASSERT_TRUE(renewed.ok()) << renewed.status();
    all_.descriptors.parts[1 + visitor] = *DuplicateDescriptor(renewed->descriptors[0]);
    // It ends by itself when it finds out, or is killed with its object.
    Invite(visitor);
  }

  void MoveOn(uint32_t except_visitor) {
    std::atomic<bool> moved = false;
    producer_->RequestMoveOn({1 + except_visitor}, [&](absl::StatusOr<HandedOver> successor) {
      ASSERT_TRUE(successor.ok()) << successor.status();
      {
        const std::lock_guard lock(mutex_);
        successors_.push_back(*successor->descriptors.ForConsumer(0));
      }
      all_ = *std::move(successor);
      moved = true;
    });
    while (!moved && !::testing::Test::HasFailure()) std::this_thread::yield();
    ++moves_;
    for (uint32_t i = 0; i < kVisitors; ++i) Invite(i);
  }

  void Stop() {
    for (auto& visitor : visitors_) visitor->Kill();
    producer_.reset();
  }

  // The one who stays.
  void ReadAll() {
    while (!::testing::Test::HasFailure()) {
      const auto received = ReadStamped(*stays_, kPatience);
      EXPECT_EQ(received.missed, 0u);
      EXPECT_EQ(received.wrong, 0u);
      EXPECT_EQ(received.end, SlotResult::kProducerClosed);
      read_ += received.slots;
      std::optional<ConsumerDescriptors> next;
      while (!next.has_value()) {
        const std::lock_guard lock(mutex_);
        if (successors_.empty() && stop_) return;
        if (successors_.empty()) continue;
        next = std::move(successors_.front());
        successors_.erase(successors_.begin());
      }
      const absl::Status followed = stays_->Follow(*next);
      ASSERT_TRUE(followed.ok()) << followed;
    }
  }

  std::unique_ptr<DataBlockProducer> producer_;
  HandedOver all_;
  std::unique_ptr<DataBlockConsumer> stays_;
  std::vector<std::unique_ptr<ChildProcess>> visitors_;
  std::mt19937_64 random_;
  Tally* tally_;
  std::mutex mutex_;
  std::vector<ConsumerDescriptors> successors_;  // that the one who stays has not followed to
  std::atomic<bool> stop_ = false;
  std::atomic<uint64_t> written_ = 0;
  uint64_t read_ = 0;
  int kills_ = 0;
  int moves_ = 0;
};

TEST(PartsStormTest, WhoStaysLosesNothingWhileOthersAreKilledEvictedAndLeftBehind) {
  Storm storm;
  storm.Run();
  EXPECT_EQ(storm.read(), storm.written());
  EXPECT_GT(storm.written(), 0u);
  EXPECT_EQ(storm.visitors().wrong.load(), 0u);
  EXPECT_GT(storm.visitors().read.load(), 0u);
  EXPECT_GT(storm.kills(), 0);
  EXPECT_GT(storm.moves(), 0);
}

}  // namespace
}  // namespace pylabhub::shm
