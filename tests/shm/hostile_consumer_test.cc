// A consumer gone wrong writes random bytes over the whole control file, again and again. It can spoil the
// others' reading (named channels are one trust domain), but nobody crashes, nobody waits beyond a deadline,
// and what an honest consumer is given is right, or said not to be.
#include <fcntl.h>
#include <gtest/gtest.h>

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

#include "absl/time/clock.h"
#include "shm/channel/channel_files.h"
#include "shm/data_block_consumer.h"
#include "shm/data_block_producer.h"
#include "shm/os/mapping.h"
#include "shm/read_order.h"
#include "shm/segment/control_segment.h"
#include "tests/support/child_process.h"
#include "tests/support/every_policy.h"
#include "tests/support/seed.h"
#include "tests/support/shm_folder.h"
#include "tests/support/stamped_slots.h"

namespace pylabhub::shm {
namespace {

using ::pylabhub::testing::ChildProcess;
using ::pylabhub::testing::IsStamped;

constexpr absl::Duration kAttack = absl::Milliseconds(250);
constexpr absl::Duration kDeadline = absl::Milliseconds(5);
constexpr absl::Duration kReadDeadline = absl::Microseconds(200);
// A wait may end late on a busy machine, but not by this.
constexpr absl::Duration kHang = absl::Seconds(10);

// Writes until it is killed: at times anything anywhere, at times what a consumer that is there might say.
class Attacker {
 public:
  static int Run(const std::string& path, const ChildProcess::Line& test) {
    auto mapping = Mapping::Of(UniqueFd(open(path.c_str(), O_RDWR)), Access::kReadWrite);
    if (!mapping.ok()) return 1;
    const auto view = ViewControl(mapping->bytes());
    if (!view.ok()) return 2;
    Attacker attacker(mapping->bytes(), *view);
    attacker.SpoilEverything();
    test.Signal();
    for (;;) {
      if (attacker.random_() % 8 == 0) attacker.SpoilEverything();
      attacker.SpoilSomeWords();
      attacker.LieAsConsumers();
    }
  }

 private:
  Attacker(std::span<std::byte> bytes, const ControlView& view)
      : words_(reinterpret_cast<std::atomic<uint64_t>*>(bytes.data()), bytes.size() / sizeof(uint64_t)),
        view_(view),
        random_(pylabhub::testing::Seed()) {}

  uint64_t Number() { return random_() % 2 == 0 ? random_() % 16 : random_(); }
  void SpoilEverything() {
    for (auto& word : words_) word = random_();
  }
  void SpoilSomeWords() {
    for (int i = 0; i < 100; ++i) words_[random_() % words_.size()] = Number();
  }
  void LieAsConsumers() {
    for (uint32_t place = 0; place < view_.max_consumers(); ++place) {
      ConsumerEntry& entry = view_.entry(place);
      entry.order = static_cast<uint32_t>(ReadOrder::kNext);
      entry.pins_declared = kPinsPerConsumer;
      entry.state = StateOf(Number(), Phase::kActive);
    }
    ++view_.header->membership_changes;
    for (int i = 0; i < 300; ++i) {
      ConsumerEntry& entry = view_.entry(random_() % view_.max_consumers());
      entry.cursor = entry.cursor + random_() % 8 - 2;
      entry.wait_state = static_cast<uint32_t>(Number());
      entry.pins[random_() % kPinsPerConsumer] = Number();
      if (i % 100 == 0) entry.cursor = Number();
    }
  }

  std::span<std::atomic<uint64_t>> words_;
  ControlView view_;
  std::mt19937_64 random_;
};

// A policy, the size of a slot, and how many are written and read at once.
using Shape = std::tuple<Policy, uint64_t, uint32_t>;

class HostileConsumerTest : public ::testing::TestWithParam<Shape> {
 protected:
  static Policy policy() { return std::get<Policy>(GetParam()); }
  static uint64_t slot_bytes() { return std::get<uint64_t>(GetParam()); }
  static uint32_t batch() { return std::get<uint32_t>(GetParam()); }

  std::unique_ptr<DataBlockProducer> Create() const {
    auto created = DataBlockProducer::Create({.channel = "hostile.test",
                                              .policy = policy(),
                                              .capacity_slots = 4,
                                              .slot_bytes = slot_bytes(),
                                              .max_consumers = policy() == Policy::kSingleReader ? 1u : 3u,
                                              .max_pins = 8,
                                              .directory = folder_.path()});
    EXPECT_TRUE(created.ok()) << created.status();
    return created.ok() ? *std::move(created) : nullptr;
  }
  std::unique_ptr<DataBlockConsumer> Open() const {
    auto opened =
        DataBlockConsumer::Open("hostile.test", {.max_batch = batch(), .directory = folder_.path()});
    EXPECT_TRUE(opened.ok()) << opened.status();
    return opened.ok() ? *std::move(opened) : nullptr;
  }

  pylabhub::testing::ShmFolder folder_;
};

// The honest consumer: what it got, and of that what it was told not to trust.
class Witness {
 public:
  Witness(Policy policy, uint64_t slot_bytes) : policy_(policy), slot_bytes_(slot_bytes) {}

  void Read(DataBlockConsumer& consumer, uint32_t batch) {
    const absl::Time start = absl::Now();
    ReadBatch slots = consumer.AcquireBatch(batch, kReadDeadline);
    ASSERT_LT(absl::Now() - start, kHang);
    if (!slots) {
      ASSERT_TRUE(slots.result() == SlotResult::kTimeout || slots.result() == SlotResult::kCutOff)
          << NameOf(slots.result());
      return;
    }
    bool right = true;
    for (const SlotView& slot : slots) {
      // Which member of a group gets a slot is what the members agree on, and one of them is hostile.
      ASSERT_TRUE(policy_ == Policy::kPipeline || slot.sequence == next_ + slot.missed_slots);
      next_ = slot.sequence + 1;
      right = right && slot.payload.size() == slot_bytes_ && IsStamped(slot.payload, slot.sequence);
    }
    read_ += slots.size();
    const bool trusted = slots.Release() == SlotResult::kOk;
    ASSERT_TRUE(right || !trusted) << "wrong data before slot " << next_ << " and nobody said so";
  }
  uint64_t read() const { return read_; }

 private:
  Policy policy_;
  uint64_t slot_bytes_;
  uint64_t next_ = 0;
  uint64_t read_ = 0;
};

SlotResult PutBatch(DataBlockProducer& producer, uint32_t slots) {
  WriteBatch batch = producer.AcquireBatch(slots, kDeadline);
  if (!batch) return batch.result();
  std::vector<size_t> bytes;
  for (size_t i = 0; i < batch.size(); ++i) {
    pylabhub::testing::Stamp(batch.payload(i), producer.next_sequence() + i);
    bytes.push_back(batch.payload(i).size());
  }
  return batch.Commit(bytes);
}

TEST_P(HostileConsumerTest, NobodyCrashesOrHangsAndNoWrongDataPassesUnnoticed) {
  folder_.AllowLeftovers();  // who has read what of them is in the bytes that are spoilt
  std::unique_ptr<DataBlockProducer> producer = Create();
  ASSERT_NE(producer, nullptr);
  std::unique_ptr<DataBlockConsumer> consumer = Open();
  ASSERT_NE(consumer, nullptr);
  const std::string path = ChannelFiles(folder_.path(), "hostile.test").ControlPath(producer->segment_id());
  ChildProcess attacker([&](const ChildProcess::Line& test) { return Attacker::Run(path, test); });
  ASSERT_NE(attacker.line().Await(), 0);

  std::atomic<bool> stop = false;
  Witness witness(policy(), slot_bytes());
  std::thread reader([&] {
    while (!stop && !HasFailure()) witness.Read(*consumer, batch());
  });
  uint64_t written = 0;
  for (const absl::Time end = absl::Now() + kAttack; absl::Now() < end;) {
    const absl::Time start = absl::Now();
    const SlotResult result = PutBatch(*producer, batch());
    ASSERT_LT(absl::Now() - start, kHang);
    ASSERT_TRUE(result == SlotResult::kOk || result == SlotResult::kTimeout) << NameOf(result);
    written += result == SlotResult::kOk ? 1 : 0;
  }
  stop = true;
  reader.join();
  attacker.Kill();
  EXPECT_GT(written, 0u);
  // A lossless consumer may be starved: its producer does not see it any more.
  if (!IsLossless(policy())) {
    EXPECT_GT(witness.read(), 0u);
  }
  EXPECT_GT(producer->Stats().invalid_peer_values, 0u) << "the attack was not counted";
}

INSTANTIATE_TEST_SUITE_P(Shapes, HostileConsumerTest,
                         ::testing::Combine(::testing::ValuesIn(pylabhub::testing::kEveryPolicy),
                                            ::testing::Values(uint64_t{64}, uint64_t{8192}),
                                            ::testing::Values(1u, 3u)),
                         [](const auto& info) {
                           return std::string(NameOf(std::get<Policy>(info.param))) + "_" +
                                  std::to_string(std::get<uint64_t>(info.param)) +
                                  (std::get<uint32_t>(info.param) == 1 ? "" : "_batches");
                         });

}  // namespace
}  // namespace pylabhub::shm
