// What the producers of a ReferenceEpisode do: they follow one another, and write.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "shm/channel/channel_files.h"
#include "tests/shm/reference_episode.h"

namespace pylabhub::shm {
namespace {

constexpr size_t kMaxUndrained = 3;

// Every payload is a part of these bytes.
std::span<const std::byte> Noise() {
  static const std::vector<std::byte> noise = [] {
    std::mt19937_64 random(1);
    std::vector<std::byte> bytes(size_t{64} * 1024);
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
    return bytes;
  }();
  return noise;
}

}  // namespace

void ReferenceEpisode::BeginGeneration() {
  auto generation = std::make_unique<Generation>(config_);
  auto created = DataBlockProducer::Create(config_, kNoSpin);
  ASSERT_TRUE(created.ok()) << created.status();
  producer_ = *std::move(created);
  seen_ = {};
  generation->segment_id = producer_->segment_id();
  const ChannelFiles files(config_.directory, config_.channel);
  generation->data.emplace(files.DataPath(generation->segment_id));
  generations_.push_back(std::move(generation));
  LetGoOfTheDrained();
  for (const auto& consumer : consumers_) {
    consumer->kept.resize(generations_.size());
    // Everybody's place is kept; what follows from it is the model's to say.
    consumer->kept.back() = current().reference.KeepPlace(*consumer->reference);
  }
}

// Of segments that nobody will read again.
void ReferenceEpisode::LetGoOfTheDrained() {
  for (size_t i = 0; i < generations_.size() - 1; ++i) {
    const ReferenceChannel& reference = generations_[i]->reference;
    const bool read = std::any_of(consumers_.begin(), consumers_.end(),
                                  [=](const auto& consumer) { return consumer->generation <= i; });
    bool done = true;
    for (size_t group = 0; group < reference.group_count(); ++group) done = done && reference.AllDone(group);
    if (done && !read) generations_[i]->data.reset();
  }
}

void ReferenceEpisode::EndGeneration() {
  if (writing_ || writing_batch_) {
    current().aborted += writing_ ? 1 : writing_batch_->size();
    writing_.reset();
    writing_batch_.reset();
  }
  const ProducerStats stats = producer_->Stats();
  ASSERT_EQ(stats.committed_slots, current().reference.head());
  ASSERT_EQ(stats.committed_bytes, current().reference.committed_bytes());
  ASSERT_EQ(stats.aborted_slots, current().aborted);
  ASSERT_EQ(stats.invalid_peer_values, 0u);
  counts_.committed += stats.committed_slots;
  counts_.aborted += stats.aborted_slots;
  counts_.evicted += stats.evicted_consumers;
  producer_.reset();
  current().reference.Close();
}

void ReferenceEpisode::Succeed() {
  const auto undrained = std::count_if(generations_.begin(), generations_.end(), [](const auto& generation) {
    for (size_t group = 0; group < generation->reference.group_count(); ++group) {
      if (!generation->reference.AllDone(group)) return true;
    }
    return false;
  });
  // Who was cut off is not waited for again.
  const bool outcast = std::any_of(consumers_.begin(), consumers_.end(),
                                   [](const auto& consumer) { return consumer->reference->cut_off; });
  if (static_cast<size_t>(undrained) > kMaxUndrained || outcast) return;
  EndGeneration();
  if (!Failed()) BeginGeneration();
}

void ReferenceEpisode::Write() {
  if (writing_ || writing_batch_) {
    CommitOrAbort();
  } else {
    Prepare();
  }
}

void ReferenceEpisode::Prepare() {
  ReferenceChannel& reference = current().reference;
  const uint64_t wanted = Roll(4) == 0 ? 1 + Roll(config_.capacity_slots + 1) : 1;
  const ReferenceChannel::Room room = reference.room();
  // Only for who need not be waited for.
  const bool waits = room.least == 0 && room.patient > 0;
  const absl::Duration timeout = waits ? kPatience : absl::ZeroDuration();
  if (wanted == 1) {
    WriteSlot slot = producer_->Acquire(timeout);
    CheckRoom(room, slot.result(), 1);
    if (!slot) return;
    ASSERT_EQ(slot.payload().size(), config_.slot_bytes);
    ASSERT_EQ(reinterpret_cast<uintptr_t>(slot.payload().data()) % 64, 0u);
    writing_.emplace(std::move(slot));
  } else {
    WriteBatch batch = producer_->AcquireBatch(wanted, timeout);
    CheckRoom(room, batch.result(), wanted);
    if (!batch) return;
    ASSERT_GE(batch.size(), std::min(wanted, std::max<uint64_t>(room.least, 1)));
    ASSERT_LE(batch.size(), std::min(wanted, room.most));
    writing_batch_.emplace(std::move(batch));
  }
  reference.Prepare(wanted);
}

void ReferenceEpisode::CheckRoom(const ReferenceChannel::Room& room, SlotResult result, uint64_t wanted) {
  if (room.most == 0) {
    ASSERT_EQ(result, SlotResult::kTimeout) << wanted << " slots over what somebody has not read";
  } else if (room.patient > 0) {
    ASSERT_EQ(result, SlotResult::kOk) << wanted;
  } else {
    ASSERT_TRUE(result == SlotResult::kOk || result == SlotResult::kTimeout) << NameOf(result);
  }
  counts_.timeouts += result == SlotResult::kTimeout ? 1 : 0;
  NoteSlowConsumers(room, result == SlotResult::kOk);
}

// There is at most one consumer that the producer does not wait for.
void ReferenceEpisode::NoteSlowConsumers(const ReferenceChannel::Room& room, bool got_one) {
  const ProducerStats stats = producer_->Stats();
  const uint64_t dropped = stats.dropped_backlogs - seen_.dropped_backlogs;
  const uint64_t cut_off = stats.cut_off_consumers - seen_.cut_off_consumers;
  seen_ = stats;
  if (got_one) current().reference.ForgetGone();
  const auto slow = std::find_if(consumers_.begin(), consumers_.end(), [this](const auto& consumer) {
    return consumer->reference->impatient && consumer->generation + 1 == generations_.size();
  });
  const bool holds_up = slow != consumers_.end() && !(*slow)->reference->cut_off &&
                        current().reference.HoldsUpNextSlot(*(*slow)->reference);
  ASSERT_LE(dropped + cut_off, holds_up ? 1u : 0u) << "somebody was given up who held nothing up";
  const bool must_tell = holds_up && got_one && (*slow)->reference->known;
  ASSERT_TRUE(!must_tell || dropped + cut_off == 1) << "overwritten, and it was not told";
  ASSERT_TRUE(room.least == 0 || dropped + cut_off == 0);
  if (dropped + cut_off == 0) return;
  ReferenceConsumer& consumer = *(*slow)->reference;
  ASSERT_EQ(cut_off != 0, (*slow)->options.when_slow == WhenSlow::kCutOff);
  consumer.waited_from = current().reference.head();
  consumer.cut_off = cut_off != 0;
  counts_.dropped += dropped;
  counts_.cut_off += cut_off;
}

ReferenceChannel::Payload ReferenceEpisode::RandomPayload() {
  const uint64_t dice = Roll(8);
  const uint64_t bytes =
      dice == 0 ? 0
                : (dice == 1 ? config_.slot_bytes : Roll(std::min<uint64_t>(config_.slot_bytes, 300) + 1));
  return Noise().subspan(Roll(Noise().size() - bytes), bytes);
}

void ReferenceEpisode::CommitOrAbort() {
  const uint64_t prepared = writing_ ? 1 : writing_batch_->size();
  const auto memory = [this](size_t i) {
    return writing_ ? writing_->payload() : writing_batch_->payload(i);
  };
  const auto commit = [this](const std::vector<size_t>& bytes) {
    const SlotResult result = writing_ ? writing_->Commit(bytes[0]) : writing_batch_->Commit(bytes);
    writing_.reset();
    writing_batch_.reset();
    return result;
  };
  const uint64_t dice = Roll(16);
  if (dice < 2) {
    std::memset(memory(0).data(), 0xEE, config_.slot_bytes);
    if (dice == 0) {
      ASSERT_EQ(commit({config_.slot_bytes + 1}), SlotResult::kTooLarge);
    }
    writing_.reset();
    writing_batch_.reset();
    current().aborted += prepared;
  } else {
    const uint64_t count = writing_ ? 1 : 1 + Roll(prepared);
    std::vector<size_t> bytes;
    std::vector<ReferenceChannel::Payload> payloads;
    for (uint64_t i = 0; i < count; ++i) {
      payloads.push_back(RandomPayload());
      bytes.push_back(payloads.back().size());
      if (!payloads.back().empty()) std::memcpy(memory(i).data(), payloads.back().data(), bytes.back());
    }
    ASSERT_EQ(commit(bytes), SlotResult::kOk);
    for (const auto payload : payloads) current().reference.Commit(payload);
    current().aborted += prepared - count;
  }
  ASSERT_EQ(producer_->next_sequence(), current().reference.head());
}

}  // namespace pylabhub::shm
