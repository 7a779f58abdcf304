// Who comes to a ReferenceEpisode and goes, or dies; and what is damaged meanwhile.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "tests/shm/reference_episode.h"
#include "tests/support/child_process.h"

namespace pylabhub::shm {
namespace {

using ::pylabhub::testing::ChildProcess;

constexpr size_t kMembers = 4;

}  // namespace

ConsumerOptions ReferenceEpisode::RandomOptions() {
  const ReadOrder order = Roll(4) == 0 ? ReadOrder::kLatest : ReadOrder::kNext;
  ConsumerOptions options = {
      .order = order, .max_batch = kMaxBatch, .wait = kNoSpin, .directory = config_.directory};
  if (order == ReadOrder::kLatest) return options;
  if (is_pipeline()) {
    options.group = config_.groups[Roll(config_.groups.size())];
    return options;
  }
  const uint64_t head = current().reference.head();
  const uint64_t dice = Roll(6);
  if (dice == 0) options.start = JoinPoint::Oldest();
  if (dice == 1)
    options.start = JoinPoint::Sequence(head - std::min(head, Roll(uint64_t{3} * config_.capacity_slots)));
  // Which one was given up is only sure if there is no other.
  const bool another = std::any_of(consumers_.begin(), consumers_.end(),
                                   [](const auto& consumer) { return consumer->reference->impatient; });
  if (IsLossless(config_.policy) && !another && Roll(2) == 0) {
    options.when_slow = Roll(2) == 0 ? WhenSlow::kDropBacklog : WhenSlow::kCutOff;
    options.patience = absl::Nanoseconds(1);
  }
  return options;
}

size_t ReferenceEpisode::GroupIn(const ConsumerOptions& options) const {
  const auto found = std::find(config_.groups.begin(), config_.groups.end(), *options.group);
  return static_cast<size_t>(found - config_.groups.begin());
}

size_t ReferenceEpisode::GenerationToJoin(const ConsumerOptions& options) {
  const size_t last = generations_.size() - 1;
  if (!options.group.has_value()) return last;
  for (size_t i = 0; i < last; ++i) {
    if (!generations_[i]->reference.AllDone(GroupIn(options))) return i;
  }
  return last;
}

std::shared_ptr<ReferenceConsumer> ReferenceEpisode::JoinReference(ReferenceChannel& channel,
                                                                   const ConsumerOptions& options) {
  if (options.group.has_value()) return channel.JoinGroup(GroupIn(options));
  auto joined = channel.Join(*options.order, options.start, options.when_slow != WhenSlow::kBlock);
  counts_.joined_behind += *options.order == ReadOrder::kNext && joined->next < channel.head() ? 1 : 0;
  return joined;
}

uint64_t ReferenceEpisode::PlacesTaken(size_t generation, bool at_most) {
  uint64_t taken = 0;
  for (const auto& consumer : consumers_) {
    const bool kept = generation < consumer->kept.size() && consumer->kept[generation] != nullptr;
    taken += consumer->generation == generation || kept ? 1 : 0;
  }
  // Places of those who will never come are free as soon as the producer knows.
  return taken + (at_most ? generations_[generation]->reference.places_in_vain() : 0);
}

ReferenceEpisode::Attached& ReferenceEpisode::Attach(std::unique_ptr<DataBlockConsumer> block,
                                                     const ConsumerOptions& options, size_t generation) {
  auto attached = std::make_unique<Attached>();
  attached->block = std::move(block);
  attached->options = options;
  attached->generation = generation;
  attached->kept.resize(generations_.size());
  attached->reference = JoinReference(generations_[generation]->reference, options);
  EXPECT_EQ(attached->block->segment_id(), generations_[generation]->segment_id);
  EXPECT_TRUE(attached->alone.Add(*attached->block).ok());
  consumers_.push_back(std::move(attached));
  return *consumers_.back();
}

void ReferenceEpisode::Join() {
  // The places of a pipeline are for those too who follow from one producer to the next.
  if (is_pipeline() && consumers_.size() == kMembers) return;
  const ConsumerOptions options = RandomOptions();
  const size_t generation = GenerationToJoin(options);
  SyncGone(*generations_[generation]);
  if (Failed()) return;
  auto opened = DataBlockConsumer::Open(config_.channel, options);
  if (PlacesTaken(generation, /*at_most=*/true) >= config_.max_consumers && !opened.ok()) {
    ASSERT_TRUE(absl::IsResourceExhausted(opened.status())) << opened.status();
    return;
  }
  ASSERT_TRUE(opened.ok()) << opened.status();
  ASSERT_LT(PlacesTaken(generation, /*at_most=*/false), config_.max_consumers);
  Attach(*std::move(opened), options, generation);
  const auto here = std::count_if(consumers_.begin(), consumers_.end(), [this](const auto& consumer) {
    return consumer->generation + 1 == generations_.size();
  });
  ASSERT_EQ(producer_->consumer_count(), static_cast<uint32_t>(here));
}

void ReferenceEpisode::Leave(size_t index) {
  Attached& consumer = *consumers_[index];
  if (consumer.holds()) Release(consumer);
  const ConsumerStats stats = consumer.block->Stats();
  const ReferenceConsumer& reference = *consumer.reference;
  ASSERT_EQ(stats.received_slots, reference.received_slots);
  ASSERT_EQ(stats.received_bytes, reference.received_bytes);
  ASSERT_EQ(stats.missed_slots, reference.missed_slots);
  ASSERT_EQ(stats.corrupt_slots, reference.corrupt_slots);
  ASSERT_EQ(stats.redelivered_slots, reference.redelivered_slots);
  generations_[consumer.generation]->reference.Leave(consumer.reference);
  for (const auto& kept : consumer.kept) {
    if (kept != nullptr) kept->gone = true;
  }
  consumers_.erase(consumers_.begin() + static_cast<ptrdiff_t>(index));
}

// A consumer in another process: it takes what it can get, and is killed with it in its hands.
std::vector<uint64_t> ReferenceEpisode::LiveAndDie(const ConsumerOptions& options, size_t slots,
                                                   uint64_t lowest) {
  ChildProcess child([&](const ChildProcess::Line& test) {
    auto opened = DataBlockConsumer::Open(config_.channel, options);
    if (!opened.ok()) return 1;
    std::optional<ReadBatch> batch;
    if (slots != 0) batch.emplace((*opened)->AcquireBatch(slots, absl::ZeroDuration()));
    for (size_t i = 0; batch && i < batch->size(); ++i)
      test.Signal(static_cast<char>(2 + (*batch)[i].sequence - lowest));
    test.Signal(1);
    test.Await();
    return 0;
  });
  std::vector<uint64_t> held;
  for (char said = child.line().Await(); said != 1; said = child.line().Await()) {
    EXPECT_NE(said, 0) << "it could not open the channel";
    if (said == 0) break;
    held.push_back(lowest + static_cast<uint64_t>(said) - 2);
  }
  child.Kill();
  return held;
}

void ReferenceEpisode::Die() {
  ConsumerOptions options = RandomOptions();
  options.when_slow = WhenSlow::kBlock;
  const size_t generation = GenerationToJoin(options);
  ReferenceChannel& reference = generations_[generation]->reference;
  if (PlacesTaken(generation, /*at_most=*/true) >= config_.max_consumers) return;
  SyncGone(*generations_[generation]);
  if (Failed()) return;
  ++counts_.deaths;
  const std::shared_ptr<ReferenceConsumer> dead = JoinReference(reference, options);
  // What is not sound would be passed over: by somebody of the group, or with a cursor that moves on before its death.
  const bool takes =
      dead->group.has_value() ? !reference.AnyCorruptToCome(*dead->group) : !reference.IsCorrupt(dead->next);
  const std::vector<uint64_t> held = LiveAndDie(options, takes ? kMaxBatch : 0, reference.oldest());
  for (const uint64_t sequence : held) {
    if (!dead->group.has_value()) continue;
    ASSERT_TRUE(sequence == reference.FindFresh(*dead->group) ||
                reference.IsAbandoned(*dead->group, sequence));
    ASSERT_EQ(reference.Claim(*dead, sequence).result, SlotResult::kOk);
  }
  reference.Die(dead);
}

void ReferenceEpisode::Corrupt() {
  const bool newest = consumers_.empty() || Roll(2) == 0;
  Generation& generation =
      newest ? current() : *generations_[consumers_[Roll(consumers_.size())]->generation];
  ReferenceChannel& reference = generation.reference;
  if (reference.oldest() == reference.head()) return;
  // What is gone cannot be spoilt, and what somebody holds is not.
  SyncGone(generation);
  const uint64_t sequence = reference.oldest() + Roll(reference.head() - reference.oldest());
  if (Failed() || !reference.IsThere(sequence) || !reference.IsUntouched(sequence)) return;
  SlotDescriptor& cell = generation.data->descriptor(sequence);
  const uint64_t bytes = reference.payload(sequence).size();
  const uint64_t dice = config_.checksum == Checksum::kEnforced ? Roll(4) : 3;
  if (dice == 0 && bytes == 0) return;
  if (dice == 0) generation.data->Flip(sequence, Roll(bytes));
  if (dice == 1) cell.checksum.fetch_xor(1);
  if (dice == 2) cell.flags.store(0);
  if (dice == 3) cell.payload_bytes.store(config_.slot_bytes + 1 + Roll(1'000'000));
  reference.SetCorrupt(sequence);
}

// Tells the model which slots the channel has given up, if it may.
void ReferenceEpisode::SyncGone(Generation& generation) {
  ReferenceChannel& reference = generation.reference;
  for (uint64_t sequence = reference.oldest(); sequence < reference.head(); ++sequence) {
    if (!reference.IsThere(sequence) || generation.data->Has(sequence)) continue;
    ASSERT_TRUE(reference.MayBeGone(sequence))
        << "slot " << sequence << " of " << reference.head() << " is gone";
    reference.SetGone(sequence);
  }
}

}  // namespace pylabhub::shm
