#include "tests/shm/reference_episode.h"

#include <gtest/gtest.h>

#include <utility>

namespace pylabhub::shm {

bool ReferenceEpisode::Failed() { return ::testing::Test::HasFailure(); }

void ReferenceEpisode::Counts::Add(const Counts& other) {
  steps += other.steps;
  committed += other.committed;
  aborted += other.aborted;
  read += other.read;
  timeouts += other.timeouts;
  missed += other.missed;
  corrupt += other.corrupt;
  deaths += other.deaths;
  evicted += other.evicted;
  dropped += other.dropped;
  cut_off += other.cut_off;
  redelivered += other.redelivered;
  followed += other.followed;
  joined_behind += other.joined_behind;
}

ReferenceEpisode::ReferenceEpisode(const ChannelConfig& config, uint64_t seed)
    : config_(config), random_(seed) {
  config_.checksum = Roll(2) == 0 ? Checksum::kEnforced : Checksum::kNone;
  if (is_pipeline() && Roll(2) == 0) config_.groups = {"one", "other"};
  if (is_pipeline() && config_.groups.empty()) config_.groups = {"workers"};
  config_.max_pins = config_.max_consumers * kMaxBatch;
  // No place is given up because the machine is slow.
  config_.reservation_ttl = absl::Hours(1);
  BeginGeneration();
}

void ReferenceEpisode::Step() {
  ++counts_.steps;
  const uint64_t dice = Roll(20'000);
  if (dice < 9000) return Write();
  if (dice < 19'800) return consumers_.empty() ? Join() : Read(*consumers_[Roll(consumers_.size())]);
  if (dice < 19'880) return Join();
  if (dice < 19'940) return consumers_.empty() ? Join() : Leave(Roll(consumers_.size()));
  if (dice < 19'975) return Corrupt();
  if (dice < 19'992) return Succeed();
  Die();
}

void ReferenceEpisode::ReadToTheEnd(Attached& consumer) {
  for (;;) {
    if (Failed()) return;
    if (consumer.holds()) Release(consumer);
    const ReferenceChannel& reference = generations_[consumer.generation]->reference;
    const bool last = consumer.generation + 1 == generations_.size() ||
                      IsDrainedFrom(consumer.generation + 1, *consumer.reference);
    if (consumer.reference->cut_off) return;
    // What others of the group hold is theirs to give back.
    const bool over = reference.IsDrained(*consumer.reference);
    Acquire(consumer);
    if (over && last) return;
  }
}

void ReferenceEpisode::DrainGroup(size_t group) {
  const ConsumerOptions options = {.order = ReadOrder::kNext,
                                   .group = config_.groups[group],
                                   .max_batch = kMaxBatch,
                                   .wait = kNoSpin,
                                   .directory = config_.directory};
  const size_t generation = GenerationToJoin(options);
  if (generations_[generation]->reference.AllDone(group)) return;
  auto opened = DataBlockConsumer::Open(config_.channel, options);
  ASSERT_TRUE(opened.ok()) << opened.status();
  ReadToTheEnd(Attach(*std::move(opened), options, generation));
  if (!Failed()) Leave(consumers_.size() - 1);
}

void ReferenceEpisode::Finish() {
  EndGeneration();
  for (const auto& consumer : consumers_) {
    if (!Failed() && consumer->holds()) Release(*consumer);
  }
  for (const auto& consumer : consumers_) {
    if (!Failed()) ReadToTheEnd(*consumer);
  }
  while (!consumers_.empty() && !Failed()) Leave(consumers_.size() - 1);
  for (size_t group = 0; group < current().reference.group_count() && !Failed(); ++group) DrainGroup(group);
}

}  // namespace pylabhub::shm
