// Random steps on a channel and on the reference model of one, in one thread: after each they must agree.
//
// PYLABHUB_TEST_STEPS sets the steps for each shape of channel (PYLABHUB_TEST_STEPS=1000000 for a long run),
// PYLABHUB_TEST_SEED repeats one.
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <random>
#include <tuple>
#include <utility>
#include <vector>

#include "shm/data_block_consumer.h"
#include "shm/data_block_producer.h"
#include "shm/wait_set.h"
#include "tests/shm/reference_channel.h"
#include "tests/support/seed.h"
#include "tests/support/shm_folder.h"

namespace pylabhub::shm {
namespace {

constexpr uint32_t kPlaces = 4;
constexpr int kDefaultSteps = 8000;

int Steps() {
  const char* given = std::getenv("PYLABHUB_TEST_STEPS");
  return given != nullptr ? std::atoi(given) : kDefaultSteps;
}

struct Attached {
  Attached(std::unique_ptr<DataBlockConsumer> opened, std::shared_ptr<ReferenceChannel::Consumer> joined)
      : block(std::move(opened)), reference(std::move(joined)) {
    EXPECT_TRUE(alone.Add(*block).ok());
  }

  std::unique_ptr<DataBlockConsumer> block;
  WaitSet alone;  // knows beforehand whether Acquire will have something
  std::shared_ptr<ReferenceChannel::Consumer> reference;
  std::optional<ReadSlot> held;
  ReferenceChannel::Payload held_payload;
};

class Episode {
 public:
  Episode(const ChannelConfig& config, uint64_t seed)
      : config_(config),
        random_(seed),
        reference_(IsLossless(config.policy), config.capacity_slots),
        producer_(*DataBlockProducer::Create(config, {.spin = absl::ZeroDuration()})) {}

  void Step() {
    const uint64_t dice = random_() % 100;
    if (dice < 45) return Write();
    if (dice < 98) return consumers_.empty() ? Join() : Read(*consumers_[random_() % consumers_.size()]);
    if (dice < 99) return Join();
    if (!consumers_.empty()) Leave(random_() % consumers_.size());
  }

  // The producer closes; everybody reads what is left, and is told the end.
  void Finish() {
    if (writing_) ++aborted_;
    writing_.reset();
    const ProducerStats stats = producer_->Stats();
    EXPECT_EQ(stats.committed_slots, reference_.head());
    EXPECT_EQ(stats.committed_bytes, reference_.committed_bytes());
    EXPECT_EQ(stats.aborted_slots, aborted_);
    EXPECT_EQ(stats.invalid_peer_values, 0u);
    EXPECT_EQ(stats.evicted_consumers, 0u);
    producer_.reset();
    for (const std::unique_ptr<Attached>& attached : consumers_) {
      Attached& consumer = *attached;
      if (consumer.held) Release(consumer);
      while (consumer.reference->next < reference_.head()) {
        Acquire(consumer, SlotResult::kTimeout);
        if (::testing::Test::HasFailure()) return;
        Release(consumer);
      }
      Acquire(consumer, SlotResult::kProducerClosed);
    }
    while (!consumers_.empty()) Leave(consumers_.size() - 1);
  }

  uint64_t slots_read() const { return slots_read_; }
  uint64_t timeouts() const { return timeouts_; }

 private:
  uint64_t PayloadBytes() {
    switch (random_() % 8) {
      case 0:
        return 0;
      case 1:
        return config_.slot_bytes;
      case 2:
        return config_.slot_bytes + 1;  // too many
      default:
        return random_() % (config_.slot_bytes + 1);
    }
  }

  void Write() {
    if (!writing_) {
      WriteSlot slot = producer_->Acquire(absl::ZeroDuration());
      ASSERT_EQ(slot.result(), reference_.CanWrite() ? SlotResult::kOk : SlotResult::kTimeout);
      if (!slot) {
        ++timeouts_;
        return;
      }
      ASSERT_EQ(slot.payload().size(), config_.slot_bytes);
      ASSERT_EQ(reinterpret_cast<uintptr_t>(slot.payload().data()) % 64, 0u);
      writing_.emplace(std::move(slot));
      return;
    }
    const uint64_t bytes = PayloadBytes();
    if (bytes > config_.slot_bytes || random_() % 8 == 0) {
      std::memset(writing_->payload().data(), 0xEE, config_.slot_bytes);
      if (bytes > config_.slot_bytes) {
        ASSERT_EQ(writing_->Commit(bytes), SlotResult::kTooLarge);
      }
      writing_.reset();
      ++aborted_;
    } else {
      ReferenceChannel::Payload payload(bytes);
      for (std::byte& byte : payload) byte = static_cast<std::byte>(filler_ = filler_ * 5 + 1);
      if (bytes != 0) std::memcpy(writing_->payload().data(), payload.data(), bytes);
      ASSERT_EQ(writing_->Commit(bytes), SlotResult::kOk);
      writing_.reset();
      reference_.Commit(std::move(payload));
      ++filler_;
    }
    ASSERT_EQ(producer_->next_sequence(), reference_.head());
  }

  void Read(Attached& consumer) {
    if (consumer.held) {
      Release(consumer);
    } else {
      Acquire(consumer, SlotResult::kTimeout);
    }
  }

  // `otherwise`: what is answered if there is no slot.
  void Acquire(Attached& consumer, SlotResult otherwise) {
    const WaitOutcome outcome = consumer.alone.Wait(absl::ZeroDuration()).outcome;
    ReadSlot slot = consumer.block->Acquire(absl::ZeroDuration());
    std::optional<ReferenceChannel::Read> expected = reference_.Acquire(*consumer.reference);
    ASSERT_EQ(slot.result(), expected ? SlotResult::kOk : otherwise);
    ASSERT_EQ(outcome, slot.result() == SlotResult::kTimeout ? WaitOutcome::kTimeout : WaitOutcome::kReady);
    if (!slot) {
      ++timeouts_;
      return;
    }
    ASSERT_EQ(slot.sequence(), expected->sequence);
    ASSERT_EQ(slot.missed_slots(), expected->missed_slots);
    ASSERT_GE(slot.timestamp_ns(), newest_ns_ - 1'000'000'000);
    newest_ns_ = std::max(newest_ns_, slot.timestamp_ns());
    consumer.held.emplace(std::move(slot));
    consumer.held_payload = std::move(expected->payload);
    CheckHeldPayload(consumer);
    ++slots_read_;
  }

  void Release(Attached& consumer) {
    // Whatever was written meanwhile.
    CheckHeldPayload(consumer);
    ASSERT_EQ(consumer.held->Release(), SlotResult::kOk);
    consumer.held.reset();
    reference_.Release(*consumer.reference, consumer.held_payload.size());
  }

  void CheckHeldPayload(const Attached& consumer) {
    const std::span<const std::byte> payload = consumer.held->payload();
    ASSERT_EQ(payload.size(), consumer.held_payload.size());
    ASSERT_TRUE(std::equal(payload.begin(), payload.end(), consumer.held_payload.begin()));
  }

  void Join() {
    const ReadOrder order = random_() % 3 == 0 ? ReadOrder::kLatest : ReadOrder::kNext;
    auto opened = DataBlockConsumer::Open(
        config_.channel,
        {.order = order, .wait = {.spin = absl::ZeroDuration()}, .directory = config_.directory});
    if (consumers_.size() == config_.max_consumers) {
      ASSERT_TRUE(absl::IsResourceExhausted(opened.status())) << opened.status();
      return;
    }
    ASSERT_TRUE(opened.ok()) << opened.status();
    consumers_.push_back(std::make_unique<Attached>(*std::move(opened), reference_.Join(order)));
    ASSERT_EQ(producer_->consumer_count(), consumers_.size());
  }

  void Leave(size_t index) {
    Attached& consumer = *consumers_[index];
    if (consumer.held) Release(consumer);
    const ConsumerStats stats = consumer.block->Stats();
    ASSERT_EQ(stats.received_slots, consumer.reference->received_slots);
    ASSERT_EQ(stats.received_bytes, consumer.reference->received_bytes);
    ASSERT_EQ(stats.missed_slots, consumer.reference->missed_slots);
    reference_.Leave(consumer.reference);
    consumers_.erase(consumers_.begin() + static_cast<ptrdiff_t>(index));
  }

  ChannelConfig config_;
  std::mt19937_64 random_;
  ReferenceChannel reference_;
  std::unique_ptr<DataBlockProducer> producer_;
  std::vector<std::unique_ptr<Attached>> consumers_;
  std::optional<WriteSlot> writing_;
  uint8_t filler_ = 0;
  uint64_t aborted_ = 0;
  uint64_t slots_read_ = 0;
  uint64_t timeouts_ = 0;
  int64_t newest_ns_ = 0;
};

class RingModelTest : public ::testing::TestWithParam<std::tuple<Policy, uint64_t>> {};

TEST_P(RingModelTest, EveryAnswerIsTheReferenceModels) {
  const auto [policy, slot_bytes] = GetParam();
  for (const uint32_t capacity : {1u, 2u, 3u, 8u}) {
    pylabhub::testing::ShmFolder folder;
    const uint64_t seed = pylabhub::testing::Seed() + capacity;
    const ChannelConfig config{.channel = "model.test",
                               .policy = policy,
                               .buffering = capacity == 1 ? Buffering::kSingle : Buffering::kRingBuffer,
                               .capacity_slots = capacity,
                               .slot_bytes = slot_bytes,
                               .max_consumers = policy == Policy::kSingleReader ? 1 : kPlaces,
                               .max_pins = kPlaces,
                               .directory = folder.path()};
    Episode episode(config, seed);
    for (int step = 0; step < Steps(); ++step) {
      episode.Step();
      ASSERT_FALSE(HasFailure()) << "capacity " << capacity << ", step " << step
                                 << ", PYLABHUB_TEST_SEED=" << pylabhub::testing::Seed();
    }
    episode.Finish();
    ASSERT_FALSE(HasFailure()) << "capacity " << capacity
                               << ", at the end, PYLABHUB_TEST_SEED=" << pylabhub::testing::Seed();
    EXPECT_GT(episode.slots_read(), static_cast<uint64_t>(Steps()) / 20);
    EXPECT_GT(episode.timeouts(), static_cast<uint64_t>(Steps()) / 100);
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, RingModelTest,
                         ::testing::Combine(::testing::Values(Policy::kLatestOnly, Policy::kPublishSubscribe,
                                                              Policy::kSingleReader, Policy::kSyncReader),
                                            ::testing::Values(uint64_t{1}, uint64_t{100}, kMaxInlineBytes,
                                                              kMaxInlineBytes + 1, uint64_t{5000})),
                         [](const auto& info) {
                           return std::string(NameOf(std::get<0>(info.param))) + "_" +
                                  std::to_string(std::get<1>(info.param));
                         });

}  // namespace
}  // namespace pylabhub::shm
