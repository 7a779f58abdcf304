// A consumer gone wrong in memory that is handed over: it writes random bytes over its whole part and over the bell, for ever, and
// holds every lock of both. Unlike one of a named channel (hostile_consumer_test.cc) it cannot spoil the others' reading: each of
// them is given every slot that its policy promises, as it was written.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "shm/data_block_consumer.h"
#include "shm/data_block_producer.h"
#include "shm/os/mapping.h"
#include "shm/part_plan.h"
#include "shm/read_order.h"
#include "shm/segment/control_segment.h"
#include "tests/support/child_process.h"
#include "tests/support/every_policy.h"
#include "tests/support/seed.h"
#include "tests/support/socket_pair.h"
#include "tests/support/stamped_slots.h"

namespace pylabhub::shm {
namespace {

using ::pylabhub::testing::ChildProcess;
using ::pylabhub::testing::IsStamped;
using ::pylabhub::testing::PutStamped;
using ::pylabhub::testing::SocketPair;

constexpr absl::Duration kAttack = absl::Milliseconds(150);
constexpr absl::Duration kDeadline = absl::Milliseconds(5);
constexpr absl::Duration kPatience = absl::Seconds(20);
// A wait may end late on a busy machine, but not by this.
constexpr absl::Duration kHang = absl::Seconds(10);

// Writes until it is killed.
class Attacker {
 public:
  static int Run(int socket, const ChildProcess::Line& test) {
    auto received = ReceiveSegment(socket, kPatience);
    if (!received.ok()) return 1;
    auto part = MapAndLock(received->descriptors.part);
    auto bell = MapAndLock(received->descriptors.bell);
    if (!part.ok() || !bell.ok()) return 2;
    const auto view = ViewControl(part->bytes());
    if (!view.ok()) return 3;
    Attacker attacker(part->bytes(), bell->bytes(), *view);
    attacker.Join();
    test.Signal();
    for (;;) attacker.Spoil();
  }

 private:
  Attacker(std::span<std::byte> part, std::span<std::byte> bell, const ControlView& view)
      : part_(Words(part)), bell_(Words(bell)), view_(view), random_(pylabhub::testing::Seed()) {}

  // All locks that there can be, by an open of its own, as a consumer's are.
  static absl::StatusOr<Mapping> MapAndLock(const UniqueFd& descriptor) {
    auto fd = UniqueFd::Open(absl::StrCat("/proc/self/fd/", descriptor.get()), O_RDWR | O_CLOEXEC);
    struct flock all = {};
    all.l_type = F_WRLCK;
    all.l_whence = SEEK_SET;
    if (fcntl(fd.get(), F_OFD_SETLK, &all) != 0) return absl::ErrnoToStatus(errno, "cannot lock");
    return Mapping::Of(std::move(fd), Access::kReadWrite);
  }
  static std::span<std::atomic<uint64_t>> Words(std::span<std::byte> bytes) {
    return {reinterpret_cast<std::atomic<uint64_t>*>(bytes.data()), bytes.size() / sizeof(uint64_t)};
  }

  uint64_t Number() { return random_() % 2 == 0 ? random_() % 16 : random_(); }
  // As somebody who reads every slot, and has read none.
  void Join() {
    ConsumerEntry& entry = view_.entry(view_.first_place());
    entry.order = static_cast<uint32_t>(ReadOrder::kNext);
    entry.pins_declared = kPinsPerConsumer;
    entry.state = StateOf(1, Phase::kActive, view_.shape.renewals);
    ++view_.header->membership_changes;
    ++bell_.front();
  }
  void Spoil() {
    if (random_() % 16 == 0) {
      for (auto& word : part_) word = Number();
    }
    for (int i = 0; i < 100; ++i) part_[random_() % part_.size()] = Number();
    for (int i = 0; i < 20; ++i) {
      // Rings, and sets the bell to what it was before.
      const uint64_t before = bell_.front();
      bell_.front() = Number();
      if (random_() % 2 == 0) bell_.front() = before;
    }
    ConsumerEntry& entry = view_.entry(view_.first_place());
    for (auto& pin : entry.pins) pin = Number();
    entry.cursor = entry.cursor + random_() % 8 - 2;
    entry.wait_state = static_cast<uint32_t>(Number());
    Join();
  }

  std::span<std::atomic<uint64_t>> part_, bell_;
  ControlView view_;
  std::mt19937_64 random_;
};

using Shape = std::tuple<Policy, uint64_t>;

class HostilePartTest : public ::testing::TestWithParam<Shape> {
 protected:
  static Policy policy() { return std::get<Policy>(GetParam()); }
  static uint64_t slot_bytes() { return std::get<uint64_t>(GetParam()); }

  static std::unique_ptr<DataBlockProducer> Create() {
    auto created = DataBlockProducer::CreateSealed({.channel = "hostile.part",
                                                    .policy = policy(),
                                                    .capacity_slots = 4,
                                                    .slot_bytes = slot_bytes(),
                                                    .max_consumers = 3,
                                                    .max_pins = 8});
    EXPECT_TRUE(created.ok()) << created.status();
    return created.ok() ? *std::move(created) : nullptr;
  }
  // The honest consumer's: in a pipeline its group's.
  static uint32_t honest_part() { return 0; }
  static uint32_t hostile_part() { return 2; }
};

// What it got, all of which must be right.
class Witness {
 public:
  explicit Witness(DataBlockConsumer& consumer) : consumer_(consumer) {}

  void Read() {
    const absl::Time start = absl::Now();
    ReadSlot slot = consumer_.Acquire(absl::Microseconds(200));
    ASSERT_LT(absl::Now() - start, kHang);
    if (!slot) {
      ASSERT_EQ(slot.result(), SlotResult::kTimeout) << NameOf(slot.result());
      return;
    }
    ASSERT_EQ(slot.sequence(), next_ + slot.missed_slots());
    ASSERT_FALSE(slot.redelivered());
    next_ = slot.sequence() + 1;
    missed_ += slot.missed_slots();
    ++read_;
    const bool right = IsStamped(slot.payload(), slot.sequence());
    ASSERT_TRUE(right) << slot.sequence();
    ASSERT_EQ(slot.Release(), SlotResult::kOk) << slot.sequence();
  }
  uint64_t next() const { return next_; }
  uint64_t read() const { return read_; }
  uint64_t missed() const { return missed_; }

 private:
  DataBlockConsumer& consumer_;
  std::atomic<uint64_t> next_ = 0;  // looked at by the test while another thread reads
  uint64_t read_ = 0;
  uint64_t missed_ = 0;
};

TEST_P(HostilePartTest, TheOthersGetEverySlotThatTheirPolicyPromisesAsItWasWritten) {
  const std::unique_ptr<DataBlockProducer> producer = Create();
  ASSERT_NE(producer, nullptr);
  auto consumer = DataBlockConsumer::OpenSealed(*producer->descriptors()->ForConsumer(honest_part()));
  ASSERT_TRUE(consumer.ok()) << consumer.status();
  Witness witness(**consumer);
  // The producer knows of it.
  for (int i = 0; i < 8; ++i) {
    ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
    witness.Read();
  }
  SocketPair sockets;
  ChildProcess attacker(
      [&](const ChildProcess::Line& test) { return Attacker::Run(sockets.second(), test); });
  ASSERT_TRUE(
      SendSegment(sockets.first(), *producer->descriptors()->ForConsumer(hostile_part()), "", kPatience)
          .ok());
  ASSERT_EQ(attacker.line().Await(), '.');

  std::atomic<bool> stop = false;
  std::thread reader([&] {
    while (!stop && !HasFailure()) witness.Read();
  });
  uint64_t written = 0;
  const auto write_for = [&](absl::Duration time, absl::Duration patience) {
    for (const absl::Time end = absl::Now() + time; absl::Now() < end;) {
      const absl::Time start = absl::Now();
      const SlotResult result = PutStamped(*producer, patience);
      ASSERT_LT(absl::Now() - start, kHang);
      // A lossless producer waits for somebody who says that he reads; but not for ever.
      ASSERT_TRUE(result == SlotResult::kOk || (IsLossless(policy()) && patience < kPatience))
          << NameOf(result);
      written += result == SlotResult::kOk ? 1 : 0;
    }
  };
  write_for(kAttack, kDeadline);
  ASSERT_TRUE(producer->RenewParts({}, std::vector<uint32_t>{hostile_part()}).ok());
  // Evicted: it writes on, into memory at which nobody looks any more, and into the bell.
  const uint64_t before = written;
  write_for(kAttack, kPatience);
  EXPECT_GT(written, before);
  if (IsLossless(policy())) {
    while (witness.next() < producer->next_sequence() && !HasFailure()) std::this_thread::yield();
  }
  stop = true;
  reader.join();
  attacker.Kill();
  EXPECT_GT(witness.read(), 8u);
  if (IsLossless(policy())) {
    EXPECT_EQ(witness.missed(), 0u);
    EXPECT_EQ(witness.read(), producer->next_sequence());
  }
  EXPECT_GT(producer->Stats().invalid_peer_values, 0u) << "the attack was not counted";
}

TEST_P(HostilePartTest, AProducerMovesOnAwayFromItAndTheOthersLoseNothing) {
  const std::unique_ptr<DataBlockProducer> producer = Create();
  ASSERT_NE(producer, nullptr);
  auto consumer = DataBlockConsumer::OpenSealed(*producer->descriptors()->ForConsumer(honest_part()));
  ASSERT_TRUE(consumer.ok()) << consumer.status();
  for (int i = 0; i < 3; ++i) ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  SocketPair sockets;
  ChildProcess attacker(
      [&](const ChildProcess::Line& test) { return Attacker::Run(sockets.second(), test); });
  ASSERT_TRUE(
      SendSegment(sockets.first(), *producer->descriptors()->ForConsumer(hostile_part()), "", kPatience)
          .ok());
  ASSERT_EQ(attacker.line().Await(), '.');
  // The same number as its part's, but in a pipeline, where onlookers come behind the group's members.
  const uint32_t place = PlanParts(producer->config())[hostile_part()].first_place;
  std::unique_ptr<HandedOver> successor;
  producer->RequestMoveOn({place}, [&](absl::StatusOr<HandedOver> moved) {
    ASSERT_TRUE(moved.ok()) << moved.status();
    successor = std::make_unique<HandedOver>(*std::move(moved));
  });
  ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  ASSERT_NE(successor, nullptr);
  const auto old = pylabhub::testing::ReadStamped(**consumer, kPatience);
  EXPECT_EQ(old.end, SlotResult::kProducerClosed);
  EXPECT_EQ(old.slots + old.missed, 3u);
  ASSERT_TRUE((*consumer)->Follow(*successor->descriptors.ForConsumer(honest_part())).ok());
  Witness witness(**consumer);
  for (int i = 0; i < 50; ++i) {
    witness.Read();
    ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  }
  while (witness.next() < producer->next_sequence() && !HasFailure()) witness.Read();
  if (IsLossless(policy())) {
    EXPECT_EQ(old.missed + witness.missed(), 0u);
  }
}

// A single reader's channel has one place.
constexpr Policy kPoliciesOfMany[] = {Policy::kLatestOnly, Policy::kPublishSubscribe, Policy::kSyncReader,
                                      Policy::kPipeline};

INSTANTIATE_TEST_SUITE_P(Shapes, HostilePartTest,
                         ::testing::Combine(::testing::ValuesIn(kPoliciesOfMany),
                                            ::testing::Values(uint64_t{64}, uint64_t{8192})),
                         [](const auto& info) {
                           return absl::StrCat(NameOf(std::get<Policy>(info.param)), "_",
                                               std::get<uint64_t>(info.param));
                         });

}  // namespace
}  // namespace pylabhub::shm
