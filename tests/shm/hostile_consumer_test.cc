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

#include "absl/time/clock.h"
#include "shm/channel/channel_files.h"
#include "shm/data_block_consumer.h"
#include "shm/data_block_producer.h"
#include "shm/os/mapping.h"
#include "shm/read_order.h"
#include "shm/segment/control_segment.h"
#include "tests/support/child_process.h"
#include "tests/support/seed.h"
#include "tests/support/shm_folder.h"
#include "tests/support/stamped_slots.h"

namespace pylabhub::shm {
namespace {

using ::pylabhub::testing::ChildProcess;
using ::pylabhub::testing::IsStamped;
using ::pylabhub::testing::PutStamped;

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

class HostileConsumerTest : public ::testing::TestWithParam<std::tuple<Policy, uint64_t>> {
 protected:
  pylabhub::testing::ShmFolder folder_;
};

TEST_P(HostileConsumerTest, NobodyCrashesOrHangsAndNoWrongDataPassesUnnoticed) {
  const Policy policy = std::get<0>(GetParam());
  const uint64_t slot_bytes = std::get<1>(GetParam());
  auto created = DataBlockProducer::Create({.channel = "hostile.test",
                                            .policy = policy,
                                            .capacity_slots = 4,
                                            .slot_bytes = slot_bytes,
                                            .max_consumers = 3,
                                            .directory = folder_.path()});
  ASSERT_TRUE(created.ok()) << created.status();
  std::unique_ptr<DataBlockProducer> producer = *std::move(created);
  auto opened = DataBlockConsumer::Open("hostile.test", {.directory = folder_.path()});
  ASSERT_TRUE(opened.ok()) << opened.status();
  std::unique_ptr<DataBlockConsumer> consumer = *std::move(opened);

  const std::string path = ChannelFiles(folder_.path(), "hostile.test").ControlPath(producer->segment_id());
  ChildProcess attacker([&](const ChildProcess::Line& test) { return Attacker::Run(path, test); });
  ASSERT_NE(attacker.line().Await(), 0);

  std::atomic<bool> stop = false;
  uint64_t read = 0;
  uint64_t noticed = 0;
  std::thread reader([&] {
    uint64_t next = 0;
    while (!stop) {
      const absl::Time start = absl::Now();
      ReadSlot slot = consumer->Acquire(kReadDeadline);
      ASSERT_LT(absl::Now() - start, kHang);
      if (!slot) {
        ASSERT_EQ(slot.result(), SlotResult::kTimeout);
        continue;
      }
      ASSERT_EQ(slot.sequence(), next + slot.missed_slots());
      next = slot.sequence() + 1;
      const bool right = slot.payload().size() == slot_bytes && IsStamped(slot.payload(), slot.sequence());
      const bool trusted = slot.Release() == SlotResult::kOk;
      ASSERT_TRUE(right || !trusted) << "wrong data in slot " << next - 1 << " and nobody said so";
      ++read;
      noticed += trusted ? 0 : 1;
    }
  });
  uint64_t written = 0;
  for (const absl::Time end = absl::Now() + kAttack; absl::Now() < end;) {
    const absl::Time start = absl::Now();
    const SlotResult result = PutStamped(*producer, kDeadline);
    ASSERT_LT(absl::Now() - start, kHang);
    ASSERT_TRUE(result == SlotResult::kOk || result == SlotResult::kTimeout) << NameOf(result);
    written += result == SlotResult::kOk ? 1 : 0;
  }
  stop = true;
  reader.join();
  attacker.Kill();
  EXPECT_GT(written, 0u);
  // A lossless consumer may be starved: its producer does not see it any more.
  if (!IsLossless(policy)) {
    EXPECT_GT(read, 0u);
  }
  if (IsLossless(policy)) {
    EXPECT_GT(producer->Stats().invalid_peer_values, 0u) << "the attack was not felt";
  }
  RecordProperty("written", static_cast<int>(written));
  RecordProperty("read", static_cast<int>(read));
  RecordProperty("noticed", static_cast<int>(noticed));
}

INSTANTIATE_TEST_SUITE_P(Shapes, HostileConsumerTest,
                         ::testing::Combine(::testing::Values(Policy::kSyncReader, Policy::kPublishSubscribe),
                                            ::testing::Values(uint64_t{64}, uint64_t{8192})),
                         [](const auto& info) {
                           return std::string(NameOf(std::get<0>(info.param))) + "_" +
                                  std::to_string(std::get<1>(info.param));
                         });

}  // namespace
}  // namespace pylabhub::shm
